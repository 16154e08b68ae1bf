"""Wrong functions that pass every small check: only the full training shows them. The docstring is the hint.

`caught_by` names what the full training finds: "end", "memory", "accuracy", "figures", "weights" or "batches".
"""

import torch
import torch.nn.functional as F

from autograder.authoring import mistake


@mistake(of="train_one_epoch", caught_by="memory")
def keeps_every_batch(net, loader, criterion, optimizer, device):
    """All images of the epoch are kept in a list until its end: at full size these are 30 GB. Add up as you go."""
    net.train()
    kept, losses = [], []
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        scores = net(images)
        loss = criterion(F.log_softmax(scores, dim=1), labels)
        loss.backward()
        optimizer.step()
        kept.append((images, labels, scores.detach()))
        losses.append(float(loss) * len(labels))
    labels, scores = torch.cat([labels for _, labels, _ in kept]), torch.cat([scores for _, _, scores in kept])
    return sum(losses) / len(labels), float((scores.argmax(dim=1) == labels).float().mean())


@mistake(of="train_one_epoch", caught_by="memory")
def keeps_every_graph(net, loader, criterion, optimizer, device):
    """The losses are added up with their graphs, batch upon batch. Add numbers: `loss.item()` or `loss.detach()`."""
    net.train()
    loss_sum, correct, seen = 0, 0, 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        scores = net(images)
        loss = criterion(F.log_softmax(scores, dim=1), labels)
        optimizer.zero_grad()
        loss.backward(retain_graph=True)
        optimizer.step()
        loss_sum = loss_sum + loss * len(labels)
        correct += int((scores.argmax(dim=1) == labels).sum())
        seen += len(labels)
    return float(loss_sum) / seen, correct / seen


@mistake(of="train_one_epoch", caught_by="batches")
def stays_in_evaluation_mode(net, loader, criterion, optimizer, device):
    """A look at the network after 150 batches leaves it in evaluation mode: from there on batch norm learns nothing."""
    net.train()
    loss_sum, correct, seen = 0.0, 0, 0
    for batch, (images, labels) in enumerate(loader):
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        scores = net(images)
        loss = criterion(F.log_softmax(scores, dim=1), labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        correct += int((scores.argmax(dim=1) == labels).sum())
        seen += len(labels)
        if batch == 150:
            net.eval()
            with torch.no_grad():
                print("now", correct / seen, net(images).argmax(dim=1)[:4])
    return loss_sum / seen, correct / seen


@mistake(of="train_one_epoch", caught_by="batches")
def leaves_early(net, loader, criterion, optimizer, device):
    """A `break` after 250 batches, left from trying things out: a fifth of the images is never seen."""
    net.train()
    loss_sum, correct, seen = 0.0, 0, 0
    for batch, (images, labels) in enumerate(loader):
        if batch == 250:
            break
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        scores = net(images)
        loss = criterion(F.log_softmax(scores, dim=1), labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        correct += int((scores.argmax(dim=1) == labels).sum())
        seen += len(labels)
    return loss_sum / seen, correct / seen


@mistake(of="train_one_epoch", caught_by="weights")
def raises_the_learning_rate(net, loader, criterion, optimizer, device):
    """A warm-up that never ends: after 250 batches of an epoch the learning rate grows by a tenth with every batch, until no
    weight is a number any more."""
    net.train()
    loss_sum, correct, seen = 0.0, 0, 0
    for batch, (images, labels) in enumerate(loader, start=1):
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        scores = net(images)
        loss = criterion(F.log_softmax(scores, dim=1), labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        correct += int((scores.argmax(dim=1) == labels).sum())
        seen += len(labels)
        if batch > 250:
            for group in optimizer.param_groups:
                group["lr"] *= 1.1
    return loss_sum / seen, correct / seen
