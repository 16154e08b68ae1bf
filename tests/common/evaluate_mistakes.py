"""Known mistakes in `evaluate`, in every module that has it: each with the hint that a student reads."""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from autograder.authoring import mistake

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
Seen = list[tuple[float, int, int]]  # of each batch: mean loss, images put in the right class, images


def _log_probabilities(scores: torch.Tensor) -> torch.Tensor:
    return F.log_softmax(scores, dim=1)


def _on(device: torch.device, loader: Batches) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for images, labels in loader:
        yield images.to(device), labels.to(device)


def _likeliest(scores: torch.Tensor, labels: torch.Tensor) -> int:
    return (scores.argmax(dim=1) == labels).sum().item()


def _likelier_than_not(scores: torch.Tensor, labels: torch.Tensor) -> int:
    return (F.softmax(scores, dim=1).gather(1, labels.unsqueeze(1)) > 0.5).sum().item()


def _run(
    net,
    batches: Batches,
    criterion,
    step: Callable | None = None,
    scoring: Callable = _log_probabilities,
    counting: Callable = _likeliest,
) -> Seen:
    """Sends the batches through the network; `step(loss)` trains on each."""
    seen = []
    for images, labels in batches:
        scores = net(images)
        loss = criterion(scoring(scores), labels)
        if step is not None:
            step(loss)
        seen.append((loss.item(), counting(scores, labels), len(labels)))
    return seen


def _stepping(optimizer) -> Callable[[torch.Tensor], None]:
    def step(loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _total_loss(seen: Seen) -> float:
    return sum(loss * count for loss, _, count in seen)


def _total_right(seen: Seen) -> int:
    return sum(right for _, right, _ in seen)


def _images(seen: Seen) -> int:
    return sum(count for _, _, count in seen)


def _figures(seen: Seen) -> tuple[float, float]:
    return _total_loss(seen) / _images(seen), _total_right(seen) / _images(seen)


def _tested(net, loader: Batches, criterion, device, **settings) -> Seen:
    net.eval()
    with torch.no_grad():
        return _run(net, _on(device, loader), criterion, **settings)


@mistake(of="evaluate", caught_by="test_testing_teaches_nothing")
def forgets_evaluation_mode(net, loader, criterion, device):
    """The network is left in training mode: dropout goes on dropping, and BatchNorm uses and learns the statistics of
    the test images."""
    with torch.no_grad():
        return _figures(_run(net, _on(device, loader), criterion))


@mistake(of="evaluate", caught_by="test_testing_teaches_nothing")
def evaluates_in_training_mode(net, loader, criterion, device):
    """The network is put into training mode for testing: dropout goes on dropping, and BatchNorm learns the statistics
    of the test images. The two modes have changed places."""
    net.train()
    with torch.no_grad():
        return _figures(_run(net, _on(device, loader), criterion))


@mistake(of="evaluate", caught_by="test_testing_teaches_nothing")
def switches_only_dropout_off(net, loader, criterion, device):
    """Only the dropout layers were switched to evaluation. BatchNorm behaves differently in the two modes as well:
    here it still uses the statistics of the batch and learns from the test images."""
    net.train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    with torch.no_grad():
        return _figures(_run(net, _on(device, loader), criterion))


@mistake(of="evaluate", caught_by="test_testing_teaches_nothing")
def forgets_the_statistics(net, loader, criterion, device):
    """BatchNorm's running statistics are reset before the test, so the network is tested with those of a network that
    has seen nothing. They belong to what was learned."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    return _figures(_tested(net, loader, criterion, device))


@mistake(of="evaluate", caught_by="test_no_gradients_in_testing")
def keeps_gradients_in_evaluation(net, loader, criterion, device):
    """The graph for a backward pass is built for every test batch and never used, which costs time and most of the
    memory. Evaluation mode alone does not prevent that."""
    net.eval()
    return _figures(_run(net, _on(device, loader), criterion))


@mistake(of="evaluate", caught_by="test_testing_changes_nothing")
def turns_gradients_off_for_good(net, loader, criterion, device):
    """Gradients are turned off for the whole program and never on again, so the next training epoch fails. The
    setting should end with the function."""
    torch.set_grad_enabled(False)
    return _figures(_tested(net, loader, criterion, device))


@mistake(of="evaluate", caught_by="test_testing_changes_nothing")
def freezes_the_network(net, loader, criterion, device):
    """All parameters are frozen to save the gradients, and stay so: the next epoch trains nothing. There is a way to go
    without gradients that leaves the network alone."""
    net.requires_grad_(False)
    return _figures(_tested(net, loader, criterion, device))


@mistake(of="evaluate", caught_by="test_no_gradients_in_testing")
def trains_on_the_test_images(net, loader, criterion, device):
    """There is a backward pass and a step in the evaluation, so the network learns the images it is tested on. Testing
    changes no weights."""
    net.eval()
    step = _stepping(torch.optim.SGD(net.parameters(), lr=1e-3))
    return _figures(_run(net, _on(device, loader), criterion, step))


@mistake(of="evaluate", caught_by="test_testing_on_an_accelerator")
def evaluates_on_the_cpu(net, loader, criterion, device):
    """The network was moved to the CPU for testing and stays there, so the next epoch's batches meet it on the wrong
    device. Go by the argument `device`."""
    net.cpu()
    return _figures(_tested(net, loader, criterion, torch.device("cpu")))


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def tests_on_probabilities(net, loader, criterion, device):
    """Softmax stands where log-softmax belongs. The negative log likelihood takes logarithms: with probabilities the
    loss lies between −1 and 0, which no likelihood does."""
    return _figures(_tested(net, loader, criterion, device, scoring=lambda scores: F.softmax(scores, dim=1)))


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def tests_on_raw_scores(net, loader, criterion, device):
    """The raw scores go straight into the criterion. It expects log-probabilities; read what `nn.NLLLoss` says of its
    input."""
    return _figures(_tested(net, loader, criterion, device, scoring=lambda scores: scores))


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def normalises_over_the_test_batch(net, loader, criterion, device):
    """The log-softmax runs along axis 0, over the images of the batch instead of over the classes of each image."""
    return _figures(_tested(net, loader, criterion, device, scoring=lambda scores: F.log_softmax(scores, dim=0)))


@mistake(of="evaluate", caught_by="test_smaller_last_batch_weighs_less_in_testing")
def averages_the_test_losses_of_batches(net, loader, criterion, device):
    """The batch losses are averaged as if all batches were equally large. The last one is usually smaller, and its
    images count for more than the others."""
    seen = _tested(net, loader, criterion, device)
    return sum(loss for loss, _, _ in seen) / len(seen), _figures(seen)[1]


@mistake(of="evaluate", caught_by="test_smaller_last_batch_weighs_less_in_testing")
def averages_the_test_accuracies_of_batches(net, loader, criterion, device):
    """The accuracies of the batches are averaged as if all were equally large. The last one is usually smaller: count
    the right answers and the images."""
    seen = _tested(net, loader, criterion, device)
    return _figures(seen)[0], sum(right / count for _, right, count in seen) / len(seen)


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def adds_up_the_test_losses(net, loader, criterion, device):
    """The loss is a sum over the test set and grows with the number of images. The mean over the images is asked
    for."""
    seen = _tested(net, loader, criterion, device)
    return _total_loss(seen), _figures(seen)[1]


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def divides_test_batch_means_by_the_images(net, loader, criterion, device):
    """The criterion already gives a mean over the batch. The sum of these means was divided by the number of images, so
    the loss is too small by the batch size."""
    seen = _tested(net, loader, criterion, device)
    return sum(loss for loss, _, _ in seen) / _images(seen), _figures(seen)[1]


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def divides_the_test_figures_by_10000(net, loader, criterion, device):
    """The figures are divided by 10,000, the size of CIFAR-10's test set. With any other data set they are wrong: count
    the images that you see."""
    seen = _tested(net, loader, criterion, device)
    return _total_loss(seen) / 10_000, _total_right(seen) / 10_000


@mistake(of="evaluate", caught_by="test_smaller_last_batch_weighs_less_in_testing")
def weighs_test_batches_by_the_loaders_size(net, loader, criterion, device):
    """Each batch's loss is multiplied by the loader's `batch_size`, also that of the last batch, which is usually smaller.
    Multiply by the number of its labels."""
    seen = _tested(net, loader, criterion, device)
    return sum(loss * loader.batch_size for loss, _, _ in seen) / _images(seen), _total_right(seen) / _images(seen)


@mistake(of="evaluate", caught_by="test_smaller_last_batch_weighs_less_in_testing")
def takes_all_test_batches_for_full(net, loader, criterion, device):
    """All batches count alike in loss and accuracy, as if each had the loader's `batch_size`, but the last one is
    usually smaller. The labels of a batch tell how many images it has."""
    seen = _tested(net, loader, criterion, device)
    images = len(loader) * loader.batch_size
    return sum(loss * loader.batch_size for loss, _, _ in seen) / images, _total_right(seen) / images


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def gives_the_test_accuracy_in_percent(net, loader, criterion, device):
    """The accuracy is a percentage. A fraction between 0 and 1 is asked for; percent belongs where it is printed."""
    loss, accuracy = _figures(_tested(net, loader, criterion, device))
    return loss, 100 * accuracy


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def gives_the_error_rate(net, loader, criterion, device):
    """The wrong answers are counted instead of the right ones: this is the error rate."""
    loss, accuracy = _figures(_tested(net, loader, criterion, device))
    return loss, 1 - accuracy


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def accepts_the_best_three(net, loader, criterion, device):
    """An image counts as right when its class is among the three highest scores. The accuracy asked for takes the
    highest alone."""
    net.eval()
    seen = []
    with torch.no_grad():
        for images, labels in _on(device, loader):
            scores = net(images)
            right = (scores.topk(3, dim=1).indices == labels.unsqueeze(1)).any(dim=1).sum().item()
            seen.append((criterion(_log_probabilities(scores), labels).item(), right, len(labels)))
    return _figures(seen)


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def averages_over_the_classes(net, loader, criterion, device):
    """The accuracy of each class was computed and these were averaged, which gives a rare class as much weight as a
    common one. The mean over the images is asked for."""
    net.eval()
    loss_sum, answers, truth = 0.0, [], []
    with torch.no_grad():
        for images, labels in _on(device, loader):
            scores = net(images)
            loss_sum += criterion(_log_probabilities(scores), labels).item() * len(labels)
            answers += scores.argmax(1).tolist()
            truth += labels.tolist()
    answers, truth = np.array(answers), np.array(truth)
    return loss_sum / len(truth), float(np.mean([(answers[truth == k] == k).mean() for k in np.unique(truth)]))


@mistake(
    of="evaluate",
    caught_by=("test_smaller_last_batch_weighs_less_in_testing", "test_testing_on_an_accelerator"),
)
def finds_the_test_image_instead_of_the_class(net, loader, criterion, device):
    """The largest score was looked for along axis 0: that names an image for each class, not a class for each image."""
    net.eval()
    seen = []
    with torch.no_grad():
        for images, labels in _on(device, loader):
            scores = net(images)
            compared = min(scores.shape)
            right = (scores.argmax(dim=0)[:compared] == labels[:compared]).sum().item()
            seen.append((criterion(_log_probabilities(scores), labels).item(), right, len(labels)))
    return _figures(seen)


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def rounds_the_test_figures(net, loader, criterion, device):
    """The figures are rounded to two decimals, so that small progress cannot be seen. Round where you print."""
    loss, accuracy = _figures(_tested(net, loader, criterion, device))
    return round(loss, 2), round(accuracy, 2)


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def reports_the_last_test_batch(net, loader, criterion, device):
    """The figures are those of the last batch alone: each batch overwrites what was kept of the one before."""
    return _figures(_tested(net, loader, criterion, device)[-1:])


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def returns_after_the_first_test_batch(net, loader, criterion, device):
    """The figures are those of the first batch: the `return` stands inside the loop, or a `break` was left from trying
    things out. Look at the indentation."""
    return _figures(_tested(net, [next(iter(loader))], criterion, device))


@mistake(of="evaluate", caught_by="test_evaluation_mode")
def skips_the_small_test_batch(net, loader, criterion, device):
    """The last batch is skipped when it is smaller than the others. Its images belong to the test set like all the
    rest."""
    return _figures(_tested(net, (b for b in loader if len(b[1]) == loader.batch_size), criterion, device))


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def returns_the_test_loss_as_a_tensor(net, loader, criterion, device):
    """The loss is a tensor. A Python float is asked for, which prints, compares and saves as a number."""
    loss, accuracy = _figures(_tested(net, loader, criterion, device))
    return torch.tensor(loss, device=device), accuracy


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def returns_the_test_accuracy_as_a_tensor(net, loader, criterion, device):
    """The accuracy is a tensor, because the sum of right answers is one. A Python float is asked for, which prints,
    compares and saves as a number."""
    loss, accuracy = _figures(_tested(net, loader, criterion, device))
    return loss, torch.tensor(accuracy, device=device)


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def returns_test_accuracy_first(net, loader, criterion, device):
    """The two figures have changed places: the loss comes first, the accuracy second."""
    return _figures(_tested(net, loader, criterion, device))[::-1]


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def returns_the_test_accuracy_only(net, loader, criterion, device):
    """Only the accuracy is returned. The caller unpacks two figures, loss and accuracy."""
    return _figures(_tested(net, loader, criterion, device))[1]


@mistake(of="evaluate", caught_by="test_second_test_pass_begins_anew")
def carries_counts_into_the_next_test(net, loader, criterion, device, seen=[]):  # noqa: B006
    """The sums live longer than one call (here in a default value, which is made only once; a global does the same), so
    the second evaluation contains the first. Start them at zero inside the function."""
    seen += _tested(net, loader, criterion, device)
    return _figures(seen)


@mistake(of="evaluate", caught_by="test_testing_on_an_accelerator")
def leaves_test_labels_behind(net, loader, criterion, device):
    """The images are brought to the device and the labels are not. On the CPU that goes unnoticed; on a GPU the loss
    cannot be computed."""
    net.eval()
    with torch.no_grad():
        return _figures(_run(net, ((images.to(device), labels) for images, labels in loader), criterion))


@mistake(of="evaluate", caught_by="test_testing_on_an_accelerator")
def leaves_test_images_behind(net, loader, criterion, device):
    """The batches stay on the CPU, where the loader makes them; the argument `device` is not used. On a GPU the first
    layer refuses them."""
    net.eval()
    with torch.no_grad():
        return _figures(_run(net, loader, criterion))


@mistake(of="evaluate", caught_by="test_no_gradients_in_testing")
def hard_codes_cuda_in_evaluation(net, loader, criterion, device):
    """`.cuda()` is written down, so the function works on NVIDIA's GPUs only and fails on the CPU. Go by the argument
    `device`."""
    net.eval()
    with torch.no_grad():
        return _figures(_run(net, ((images.cuda(), labels.cuda()) for images, labels in loader), criterion))


@mistake(of="evaluate", caught_by="test_testing_on_an_accelerator")
def compares_test_answers_across_devices(net, loader, criterion, device):
    """The predictions were brought to the CPU and are compared with labels that are on the device. A GPU refuses to
    compare the two."""
    net.eval()
    seen = []
    with torch.no_grad():
        for images, labels in _on(device, loader):
            scores = net(images)
            right = (scores.argmax(1).cpu() == labels).sum().item()
            seen.append((criterion(_log_probabilities(scores), labels).item(), right, len(labels)))
    return _figures(seen)


@mistake(of="evaluate", caught_by="test_testing_changes_nothing")
def changes_the_criterion_in_testing(net, loader, criterion, device):
    """The criterion's `reduction` is set to "sum" and stays so: the next epoch's training goes by sums. A batch's mean
    times its images is its sum."""
    criterion.reduction = "sum"
    seen = _tested(net, loader, criterion, device)
    return sum(loss for loss, _, _ in seen) / _images(seen), _total_right(seen) / _images(seen)


@mistake(of="evaluate", caught_by="test_testing_changes_nothing")
def thaws_the_network(net, loader, criterion, device):
    """The parameters are frozen for the test and thawed after it, all of them: what the caller had frozen learns from
    then on. There is a way to go without gradients that leaves the network alone."""
    net.requires_grad_(False)
    figures = _figures(_tested(net, loader, criterion, device))
    net.requires_grad_(True)
    return figures


@mistake(of="evaluate", caught_by="test_testing_changes_nothing")
def takes_the_dropout_out(net, loader, criterion, device):
    """The rate of the dropout layers is set to 0, and stays so in the training that follows. The network's mode switches
    dropout off and on."""
    for layer in net.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return _figures(_tested(net, loader, criterion, device))


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def returns_test_figures_of_numpy(net, loader, criterion, device):
    """The figures are numbers of numpy. They look alike, but are no Python floats: `json` cannot save them. Turn them
    into floats at the end."""
    loss, accuracy = _figures(_tested(net, loader, criterion, device))
    return np.float32(loss), np.float32(accuracy)


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def keeps_the_last_test_batchs_right_answers(net, loader, criterion, device):
    """The right answers of each batch replace those of the one before, so only the last batch's count. They are to be
    added up: look for `=` where `+=` belongs."""
    seen = _tested(net, loader, criterion, device)
    return _figures(seen)[0], seen[-1][1] / _images(seen)


@mistake(of="evaluate", caught_by="test_second_test_pass_begins_anew")
def stops_after_ten_test_batches(net, loader, criterion, device):
    """The loop ends after some batches: a `break` was left from trying things out."""
    return _figures(_tested(net, itertools.islice(loader, 10), criterion, device))


@mistake(of="evaluate", caught_by="test_second_test_pass_begins_anew")
def takes_the_logarithm_of_a_sum_in_testing(net, loader, criterion, device):
    """A small number was added to the probabilities before their logarithm. Where the network is sure, the loss is then
    wrong; there is a function that takes both steps at once, exactly."""
    net.eval()
    with torch.no_grad():
        seen = _run(net, _on(device, loader), criterion, scoring=lambda s: torch.log(F.softmax(s, dim=1) + 1e-8))
    return _figures(seen)


@mistake(of="evaluate", caught_by="test_smaller_last_batch_weighs_less_in_testing")
def counts_only_likely_answers_in_testing(net, loader, criterion, device):
    """An image counts as right when its class has a probability above one half. With many classes the right one can be
    the likeliest with less: compare the likeliest class with the label."""
    return _figures(_tested(net, loader, criterion, device, counting=_likelier_than_not))


@mistake(of="evaluate", caught_by="test_smaller_last_batch_weighs_less_in_testing")
def stops_after_a_hundred_test_batches(net, loader, criterion, device):
    """The loop ends after a hundred batches, and CIFAR-10's test images make more than three hundred: a `break` was left
    from trying things out."""
    return _figures(_tested(net, itertools.islice(loader, 100), criterion, device))


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def tests_without_a_parameter_for_the_device(net, loader, criterion):
    """The function takes one argument less than it is given. Compare its first line with the one that was there, name by
    name."""
    return _figures(_tested(net, loader, criterion, next(net.parameters()).device))


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def wants_an_optimizer_for_testing(net, loader, criterion, optimizer, device):
    """The function wants an optimizer, as the training does, and is given none: testing takes no steps. Compare its first
    line with the one that was there, name by name."""
    return _figures(_tested(net, loader, criterion, device))


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def forgets_to_return_the_test_figures(net, loader, criterion, device):
    """Nothing comes back: the figures are computed and the `return` is missing, so that a caller gets None."""
    _figures(_tested(net, loader, criterion, device))


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def divides_the_test_loss_by_10000(net, loader, criterion, device):
    """The loss is divided by 10,000, the size of CIFAR-10's test set. With any other data set it is wrong: count the
    images that you see."""
    seen = _tested(net, loader, criterion, device)
    return _total_loss(seen) / 10_000, _figures(seen)[1]


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def divides_the_test_accuracy_by_10000(net, loader, criterion, device):
    """The right answers are divided by 10,000, the size of CIFAR-10's test set. With any other data set the accuracy is
    wrong: count the images that you see."""
    seen = _tested(net, loader, criterion, device)
    return _figures(seen)[0], _total_right(seen) / 10_000


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def divides_the_losses_of_test_batches_by_10000(net, loader, criterion, device):
    """The losses of the batches are added up and divided by 10,000, as in the lecture. Each is a mean already, so the
    result is too small by the batch size, and with another data set by more: weigh each batch with its images, and count
    the images that you see."""
    seen = _tested(net, loader, criterion, device)
    return sum(loss for loss, _, _ in seen) / 10_000, _figures(seen)[1]
