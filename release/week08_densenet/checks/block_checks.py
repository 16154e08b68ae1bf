"""What checks of a block by hand share, of what `blocks.py` has seen of it."""

from autograder.authoring import Tensor, require, same

# Right blocks differ by up to 1e-6 (sums in another order), wrong ones by 1e-3 and more.
NEAR = 2e-5


def is_module(seen: dict, what: str) -> None:
    """Requires an nn.Module to have been made."""
    require(seen["made"] == "Module", what, "an nn.Module", seen["made"],
            "The class derives from `nn.Module`, and its `__init__` begins with `super().__init__()`.")  # fmt: skip


def has_torchvisions_state(seen: dict, expected: dict, what: str, look: str) -> None:
    """Requires the names and the shapes of torchvision's parameters and buffers, in whatever order."""
    is_module(seen, what)
    found, right = seen["state"], expected["state"]
    missing, more = ([name for name in one if name not in other] for one, other in ((right, found), (found, right)))
    require(not missing and not more, f"{what}: names of its parameters and buffers", f"the {len(right)} of torchvision's",
            f"without {missing}, and with {more} besides" if more else f"without {missing}",
            "Modules that are attributes of a block bring names: `self.conv1` brings `conv1.weight`.")  # fmt: skip
    for name, shape in right.items():
        same(found[name], shape, f"{what}: shape of {name}", look=look)


def left_its_input(seen: dict, x: Tensor, what: str) -> None:
    """Requires `x` to be unchanged where it came from."""
    require(isinstance(seen["output"], Tensor), what, "a torch.Tensor", seen["output"])
    same(seen["x after"], x, f"{what}: x afterwards", within=0,
         look="Other layers read x too: what works in place, as `inplace=True` or `+=`, must not work on x.")  # fmt: skip


def moved_its_statistics(seen: dict, expected: dict, what: str) -> None:
    """Requires running statistics that moved as PyTorch's batch norm moves them."""
    same(seen.get("statistics after"), expected["statistics after"], f"{what}: means of the buffers afterwards", within=NEAR,
         look="PyTorch's batch norm keeps its running statistics by itself, once for each pass.")  # fmt: skip


def passes_gradients(gradients: dict, expected: dict, what: str) -> None:
    """Requires gradients that reach the input and every parameter."""
    found, right = gradients.get("sizes", gradients.get("failed")), expected["sizes"]
    require(isinstance(found, list), f"{what}: the backward pass", "gradients", found)
    reached = sum(size > 0 for size in found)
    require(reached >= len(right), f"{what}: gradients", f"one for the input and each of {len(right) - 1} parameters",
            f"{reached} of them", "What is detached, or made under `no_grad`, passes no gradient on.")  # fmt: skip


def same_gradients(gradients: dict, expected: dict, what: str) -> None:
    """Requires the sizes of all gradients, each near one that was found."""
    passes_gradients(gradients, expected, what)
    for size in expected["sizes"]:
        nearest = min(gradients["sizes"], key=lambda found: abs(found - size))
        same(nearest, size, f"{what}: size of a gradient", within=1e-3, look="Nothing is detached on the way.")
