"""What the public checks ask of your functions. Run beside your code; no answers here.

Each function below calls one of your functions on something small and returns what came back.
"""

import torch
from torch import nn
from torchvision.models.googlenet import GoogLeNetOutputs

from autograder.authoring import Error, attempt, probe

from .accelerator import ACCELERATOR, CPU, where_weights_are
from .blocks import block_made, block_seen, gradients_of, passed_through
from .evaluate_probes_public import *  # noqa: F403
from .networks import HEADS, SmallGoogLeNet, favouring_one, last_layer, telling_apart, their_block
from .practice import in_order, layers, pictures, settings, steps_counted
from .seeds import seeded
from .weights import state

# --- one by one -------------------------------------------------------------------------------------------------------


@probe("saved_by_bottleneck")
def prices_of_some_branches(student, draw):
    """The 5 × 5 branch of block 4a, and branches of drawn widths with 3 × 3 and with 5 × 5 kernels."""
    asked = {"4a": (480, 16, 48, 5, 14)}
    for kernel in (3, 5):
        asked[f"{kernel} × {kernel}"] = (draw.randint(90, 130), draw.randint(11, 17), draw.randint(30, 60), kernel, 9)
    return {name: {"asked": list(one), "price": attempt(lambda one=one: student.saved_by_bottleneck(*one))}
            for name, one in asked.items()}  # fmt: skip


# --- block ------------------------------------------------------------------------------------------------------------


def inception_made(student, draw, *widths: int, device=CPU):
    """`InceptionBlock(*widths)` with the weights of torchvision's block, or the exception by which it came to none."""
    theirs = their_block(draw, *widths)
    return block_made(lambda: student.follow(student.InceptionBlock)(*widths), theirs, device)


@probe("InceptionBlock")
def an_inception_block(student, draw):
    """A block with torchvision's weights: what it is made of, what it makes of an input in both modes, its gradients."""
    # no two that a slip of the pen exchanges are alike
    widths = (9, draw.choice([3, 4]), draw.choice([2, 5]), 6, draw.choice([3, 7]), draw.choice([4, 5]), 2)
    block = inception_made(student, draw, *widths)
    x = seeded(draw, torch.randn, 2, widths[0], 5, 6) - 0.5  # mostly below zero: so it shows what a pooling pads with
    return {
        "widths": list(widths),
        "x": x.clone(),
        "block": block_seen(block),
        "evaluation": passed_through(student, block, x.clone(), training=False),
        "gradients": gradients_of(student, block, x),
        "training": passed_through(student, block, x.clone(), training=True),
    }


# --- heads ------------------------------------------------------------------------------------------------------------


def head_seen(net: nn.Module, head: str) -> dict:
    """What the last layer of a head is now."""
    layer = last_layer(net, head)
    return {
        "name": HEADS[head],
        "type": type(layer).__name__,
        "linear": isinstance(layer, nn.Linear),
        "weight": getattr(layer, "weight", None),
        "bias": getattr(layer, "bias", None),
        "prints itself as": str(layer),
    }


def beside_the_heads(net: nn.Module) -> dict:
    """All weights and buffers but those of the heads' last layers, what is trained of them, and the modes of all layers."""
    last = tuple(f"{name}." for name in HEADS.values())
    kept = {name: tensor.detach().cpu().clone() for name, tensor in net.state_dict().items() if not name.startswith(last)}
    trained = {name: weight.requires_grad for name, weight in net.named_parameters() if not name.startswith(last)}
    modes = {name: module.training for name, module in net.named_modules() if not f"{name}.".startswith(last)}
    return {"weights": kept, "trained": trained, "modes": modes}


def heads_replaced(student, net: nn.Module, *num_classes: int) -> dict:
    """The heads of `net` before and after, what came back, and what is beside the heads."""
    old = {head: head_seen(net, head) for head in HEADS if last_layer(net, head) is not None}
    old = {head: seen | {"weight": seen["weight"].detach().cpu().clone()} for head, seen in old.items()}
    before = beside_the_heads(net)
    returned = attempt(lambda: student.replace_heads(net, *num_classes))
    made = [last_layer(net, head) for head in old]
    return {
        "old": old,
        "new": {head: head_seen(net, head) for head in old},
        "layers": len({id(layer) for layer in made}),
        "None": {head: getattr(net, head, "gone") is None for head in HEADS if head not in old},
        "returned": returned if isinstance(returned, Error) else type(returned).__name__,
        "same network": returned is net,
        "before": before,
        "after": beside_the_heads(net),
        "on the accelerator": where_weights_are(net),
    }


@probe("replace_heads")
def three_heads(student, draw):
    """A small GoogLeNet in evaluation mode, one of its layers frozen, gets heads for fewer classes; another by default."""
    classes = draw.randint(3, 8)
    sizes = draw.sample(range(4, 9), 3)
    net = seeded(draw, SmallGoogLeNet, classes=10, width=sizes[0], hidden=(sizes[1], sizes[2])).eval()
    net.conv1[0].weight.requires_grad_(False)
    alike = seeded(draw, SmallGoogLeNet, classes=7, width=6, hidden=(6, 6))
    seen = {"classes": classes, "different": heads_replaced(student, net, classes), "alike": heads_replaced(student, alike)}
    images = seeded(draw, torch.rand, 2, 3, 6, 6)
    seen["scores"] = attempt(lambda: [list(scores.shape) for scores in net.train()(images)])
    return seen


@probe("replace_heads")
def fewer_heads(student, draw):
    """Networks without auxiliary heads, and with only one of them."""
    classes = draw.randint(3, 8)
    hidden = {"none": (0, 0), "aux1 alone": (5, 0), "aux2 alone": (0, 5)}
    nets = {name: seeded(draw, SmallGoogLeNet, classes=10, width=6, hidden=sizes) for name, sizes in hidden.items()}
    return {"classes": classes} | {name: heads_replaced(student, net, classes) for name, net in nets.items()}


@probe("replace_heads")
def heads_elsewhere(student, draw):
    """A network that is not on the CPU: on a simulated accelerator."""
    classes = draw.randint(3, 30)
    net = seeded(draw, SmallGoogLeNet, classes=10).to(ACCELERATOR)
    return {"classes": classes} | heads_replaced(student, net, classes)


# --- loss -------------------------------------------------------------------------------------------------------------


def scores_of_heads(draw, images: int, classes: int, device=CPU, without: str = "") -> tuple[list, GoogLeNetOutputs]:
    """Three heads' scores that want gradients, as leaves, and as GoogLeNet gives them; a head in `without` is None."""
    made = [seeded(draw, torch.randn, images, classes) * scale for scale in (1.0, 2.0, 3.0)]
    leaves = [one.to(device).requires_grad_() for one in made]
    names = ("logits", "aux_logits2", "aux_logits1")
    given = {name: None if name in without.split() else one for name, one in zip(names, leaves, strict=True)}
    return leaves, GoogLeNetOutputs(**given)


def labels_of(draw, images: int, classes: int, device=CPU) -> torch.Tensor:
    return torch.tensor([draw.randrange(classes) for _ in range(images)]).to(device)


def losses_seen(student, leaves: list, outputs, labels: torch.Tensor, *aux_weight: float) -> dict:
    """The three losses, what they are, and the gradients of each head's scores from the total."""
    criterion, before = nn.NLLLoss(), [leaf.detach().cpu().clone() for leaf in leaves]
    losses = attempt(lambda: student.joint_loss(outputs, labels, criterion, *aux_weight))
    seen = {"losses": loss_values(losses), "kinds": loss_kinds(losses), "reduction after": criterion.reduction}

    def backward() -> list:
        losses[0].backward()
        return [torch.zeros(leaf.shape) if leaf.grad is None else leaf.grad.detach().cpu().clone() for leaf in leaves]

    seen["gradients"] = attempt(backward) if isinstance(losses, (tuple, list)) and len(losses) == 3 else "no three losses"
    seen["scores changed"] = any(not torch.equal(leaf.detach().cpu(), was) for leaf, was in zip(leaves, before, strict=True))
    return seen


def loss_values(losses):
    """The numbers of three losses, whatever holds them; what else came back as it is."""
    if not isinstance(losses, (tuple, list)):
        return losses
    numbers = [one.detach().cpu().double().tolist() if isinstance(one, torch.Tensor) else one for one in losses]
    return tuple(numbers) if isinstance(losses, tuple) else numbers


def loss_kinds(losses) -> list[dict]:
    """Of each of several losses whether it is a tensor, its shape and device, and whether it carries gradients."""
    if not isinstance(losses, (tuple, list)):
        return []
    return [
        {
            "type": "tensor" if isinstance(one, torch.Tensor) else type(one).__name__,
            "shape": list(getattr(one, "shape", [])),
            "device": str(getattr(one, "device", "none")),
            "gradients": bool(getattr(one, "requires_grad", False)),
        }
        for one in losses
    ]


@probe("joint_loss")
def losses_of_three_heads(student, draw):
    """Scores of three heads, with the weight left to its default, and with another."""
    images, classes, weight = draw.randint(5, 9), draw.randint(3, 6), draw.choice([0.45, 0.6, 0.8])
    labels = labels_of(draw, images, classes)
    return {
        "weight": weight,
        "default": losses_seen(student, *scores_of_heads(draw, images, classes), labels),
        "given": losses_seen(student, *scores_of_heads(draw, images, classes), labels, weight),
    }


@probe("joint_loss")
def losses_of_fewer_heads(student, draw):
    """One of the auxiliary heads is None, or both."""
    images, classes = draw.randint(5, 9), draw.randint(3, 6)
    labels = labels_of(draw, images, classes)
    return {
        name: losses_seen(student, *scores_of_heads(draw, images, classes, without=without), labels)
        for name, without in {
            "aux_logits1 is None": "aux_logits1",
            "aux_logits2 is None": "aux_logits2",
            "both are None": "aux_logits1 aux_logits2",
        }.items()
    }


@probe("joint_loss")
def losses_of_plain_scores(student, draw):
    """The main head's scores alone, with three images, and as many images as GoogLeNet has heads."""
    images, classes = 3, draw.randint(4, 6)
    leaves, outputs = scores_of_heads(draw, images, classes)
    elsewhere = [outputs.logits.detach().to(ACCELERATOR).requires_grad_()]
    labels = labels_of(draw, images, classes)
    return {
        "cpu": losses_seen(student, leaves[:1], outputs.logits, labels),
        "accelerator": losses_seen(student, elsewhere, elsewhere[0], labels.to(ACCELERATOR)),
        "accelerator's name": str(ACCELERATOR),
    }


# --- training ---------------------------------------------------------------------------------------------------------


def made_up_losses(calls: list[float]):
    """A stand-in for `joint_loss`: three made-up numbers, from the first of which gradients reach every head.

    So `train_one_epoch` is looked at by itself, whatever your `joint_loss` does.
    """

    def joint_loss(outputs, labels, criterion, aux_weight=0.3):
        calls.append(aux_weight)
        given = outputs if isinstance(outputs, tuple) else (outputs,)
        sizes = torch.stack([scores.square().mean() for scores in given if scores is not None])
        return (0.2 + aux_weight) * sizes.sum(), sizes[0] + 0.1, sizes.max() + 0.3

    return joint_loss


def an_epoch(student, make, loader, device, *aux_weight: float, stand_in: bool = False) -> dict:
    """One epoch of plain SGD, of a network from `make()` that was just tested."""
    net = make().to(device).eval()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    criterion, steps = nn.NLLLoss(), steps_counted(optimizer)
    calls: list[float] = []
    before, kept = state(net), {"settings before": settings(optimizer), "layers before": layers(net)}
    net.seen = []
    with student.replaced(**({"joint_loss": made_up_losses(calls)} if stand_in else {})):
        figures = attempt(lambda: student.train_one_epoch(net, loader, criterion, optimizer, device, *aux_weight))
    return kept | {
        "figures": figures,
        "stood in": len(calls) > 0,
        "before": before,
        "after": state(net),
        "steps": len(steps),
        "passes": net.seen,
        "settings after": settings(optimizer),
        "layers after": layers(net),
        "reduction after": criterion.reduction,
        "on the accelerator": where_weights_are(net),
    }


def a_class(draw, hidden: tuple[int, int] = (4, 6)) -> tuple:
    """How to make a small network of four classes, and nine pictures to train it with, of which the last is alone."""
    seed = draw.getrandbits(31)
    data = seeded(draw, pictures, [2, 2, 0, 3, 2, 1, 1, 0, 2])

    def make() -> nn.Module:
        torch.default_generator.manual_seed(seed)
        net = SmallGoogLeNet(classes=4, hidden=hidden)
        return favouring_one(net, label=2) if any(hidden) else telling_apart(net, data.images)

    if not any(hidden):  # most images are what the network says of them: who takes another one's scores is found out
        data.labels = make().train()(data.images).argmax(dim=1).tolist()
    return make, in_order(data, 4)


def epochs_of(student, draw, stand_in: bool, *aux_weight: float, device=CPU, hidden: tuple[int, int] = (4, 6)) -> dict:
    """An epoch with your own `joint_loss`, and one with a stand-in for it, where there is to be one."""
    make, loader = a_class(draw, hidden)
    runs = {"own": an_epoch(student, make, loader, device, *aux_weight)}
    if stand_in:
        runs["stand-in"] = an_epoch(student, make, loader, device, *aux_weight, stand_in=True)
    return runs


@probe("train_one_epoch")
def one_epoch(student, draw):
    """Nine images of four classes, four to a batch, so that the last batch is one image."""
    return epochs_of(student, draw, True)


@probe("train_one_epoch")
def one_epoch_with_a_weight(student, draw):
    """The same with another weight for the auxiliary heads."""
    return epochs_of(student, draw, True, draw.choice([0.7, 0.9, 1.1]))


@probe("train_one_epoch")
def one_epoch_without_auxiliary_heads(student, draw):
    """The same of a network that gives plain scores."""
    return epochs_of(student, draw, True, hidden=(0, 0))


@probe("train_one_epoch")
def one_epoch_elsewhere(student, draw):
    """The same where the network is not on the CPU, as the loader's images and labels are: a simulated accelerator."""
    return epochs_of(student, draw, True, device=ACCELERATOR)


@probe("evaluate")
def one_test_pass_of_three_heads(student, draw):
    """A network of three heads that was just training, and one of the main head alone."""
    make, loader = a_class(draw)
    net = make().train()
    net.seen = []
    figures = attempt(lambda: student.evaluate(net, loader, nn.NLLLoss(), CPU))
    return {"figures": figures, "passes": net.seen, "weights": sorted(net.state_dict())}
