"""Unusual right answers to `evaluate`, in every module that has it: all must get full marks."""

import copy
import itertools

import numpy as np
import torch
import torch.nn.functional as F

from autograder.authoring import alternative


def _pass_over(net, loader, criterion, device, optimizer=None):
    """Trains when there is an optimizer, tests when there is none."""
    net.train(optimizer is not None)
    loss_sum, right, count = 0.0, 0, 0
    with torch.set_grad_enabled(optimizer is not None):
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            scores = net(images)
            loss = criterion(F.log_softmax(scores, dim=1), labels)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum += loss.item() * len(labels)
            right += (scores.argmax(dim=1) == labels).sum().item()
            count += len(labels)
    return loss_sum / count, right / count


@alternative(of="evaluate")
@torch.no_grad()
def evaluation_with_a_decorator(net, loader, criterion, device):
    net.eval()
    loss_sum, right, count = 0.0, 0, 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        log_probabilities = F.log_softmax(net(images), dim=1)
        loss_sum += criterion(log_probabilities, labels).item() * len(labels)
        right += (log_probabilities.exp().max(1)[1] == labels).sum().item()
        count += len(labels)
    return loss_sum / count, right / count


@alternative(of="evaluate")
def evaluation_in_inference_mode(net, loader, criterion, device):
    net.train(False)
    with torch.inference_mode():
        batches = [(net(images.to(device)), labels.to(device)) for images, labels in loader]
        scores, labels = map(torch.cat, zip(*batches, strict=True))
        loss = criterion(F.log_softmax(scores, dim=1), labels)
        return loss.item(), (scores.argmax(1) == labels).double().mean().item()


@alternative(of="evaluate")
def evaluation_of_a_copy(net, loader, criterion, device):
    """The copy is put into evaluation mode, and the network itself is not touched at all."""
    return _pass_over(copy.deepcopy(net), loader, criterion, device)


@alternative(of="evaluate")
def evaluation_that_restores_the_mode(net, loader, criterion, device):
    was_training = net.training
    net.eval()
    try:
        with torch.no_grad():
            loss_sum = right = 0
            for images, labels in loader:
                images, labels = images.to(device), labels.to(device)
                scores = net(images)
                loss_sum += F.cross_entropy(scores, labels, reduction="sum").item()
                right += torch.sum(scores.argmax(dim=1) == labels).item()
        return loss_sum / len(loader.dataset), right / len(loader.dataset)
    finally:
        net.train(was_training)


@alternative(of="evaluate")
def evaluation_by_a_generator(net, loader, criterion, device):
    @torch.no_grad()
    def figures_of(images, labels):
        scores = net(images)
        right = (scores.topk(1).indices.squeeze(1) == labels).sum()
        return torch.stack([criterion(torch.log_softmax(scores, dim=1), labels) * len(labels), right])

    net.eval()
    total = sum(figures_of(images.to(device), labels.to(device)).cpu() for images, labels in loader)
    loss, accuracy = (total / len(loader.dataset)).tolist()
    return loss, accuracy


@alternative(of="evaluate")
def evaluation_with_a_confusion_matrix(net, loader, criterion, device):
    net.eval()
    loss_sum, pairs = 0.0, []
    with torch.no_grad():
        for images, labels in loader:
            scores = net(images.to(device)).cpu()
            loss_sum += criterion(F.log_softmax(scores, dim=1), labels).item() * len(labels)
            pairs += zip(labels.tolist(), scores.argmax(dim=1).tolist(), strict=True)
    classes = 1 + max(itertools.chain.from_iterable(pairs))
    confusion = np.zeros((classes, classes), dtype=int)
    np.add.at(confusion, tuple(np.array(pairs).T), 1)
    return loss_sum / len(pairs), float(np.trace(confusion) / confusion.sum())


@alternative(of="evaluate")
def evaluation_with_gradients_off_in_between(net, loader, criterion, device):
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    net.eval()
    losses, hits, sizes = zip(*(_batch_figures(net, batch, criterion, device) for batch in loader), strict=True)
    torch.set_grad_enabled(before)
    return np.dot(losses, sizes) / sum(sizes), np.float64(sum(hits)) / sum(sizes)


def _batch_figures(net, batch, criterion, device):
    images, labels = batch[0].to(device), batch[1].to(device)
    scores = net(images)
    return criterion(F.log_softmax(scores, 1), labels).item(), (scores.argmax(1) == labels).sum().item(), len(labels)
