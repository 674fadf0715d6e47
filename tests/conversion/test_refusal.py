"""The error for weights of another network."""

from pathlib import Path

import pytest
import torch

from benchmark.conversion.fit import tensors
from benchmark.conversion.refusal import require
from benchmark.errors import UserError


def weights(architecture, classes=8):
    return {name: torch.zeros(tensor.shape) for name, tensor in tensors(architecture, {}, classes).items()}


def refused(architecture, state, **options):
    with pytest.raises(UserError) as caught:
        require(architecture, state, Path("a.pth"), **options)
    message = str(caught.value)
    assert message.startswith(f"a.pth is not a checkpoint of {architecture}: ")
    assert "\n" not in message
    return message


def test_another_head():
    message = refused("pspnet_r50-d8", weights("fcn_r50-d8"))
    assert "it lacks decode_head.psp_modules.0.1.conv.weight (and 29 more)" in message
    assert "340 of 370 tensors match, 30 missing keys, 18 unexpected keys, 0 with a shape mismatch" in message
    assert "fcn_r50-d8 fits better (99% of the shapes, instead of 95%)" in message


def test_names_that_nearly_match():
    state = {f"net.{name}": tensor for name, tensor in weights("enet").items()}
    message = refused("enet", state)
    total = len(state)
    assert (
        f"0 of {total} tensors match, {total} missing keys, {total} unexpected keys, 0 with a shape mismatch" in message
    )
    near = message.partition("nearest: ")[2].partition(";")[0].split(", ")
    assert len(near) == 3
    assert all(theirs == f"net.{ours}" for theirs, ours in (each.split(" for ") for each in near))
    assert "fits better" not in message
    assert message.endswith(f"--by-order matches {total} of {total} tensors")


def test_another_shape():
    state = weights("enet")
    name = next(name for name in state if name.endswith("conv.weight"))
    message = refused("enet", state | {name: torch.zeros(5, 3, 3, 3)})
    assert f"{name} has shape (5, 3, 3, 3) instead of" in message
    assert "0 missing keys, 0 unexpected keys, 1 with a shape mismatch" in message


def test_an_architecture_that_fits_whatever_the_names():
    state = {f"x{index}": tensor for index, tensor in enumerate(weights("unet-s5-d16", 3).values())}
    assert "; unet-s5-d16 fits better (" in refused("enet", state)


def test_nothing_fits():
    message = refused("enet", {"what": torch.zeros(3)})
    assert "fits better" not in message
    assert message.endswith("--map FILE renames them")
    assert refused("enet", {"what": torch.zeros(1, 2, 3)}, by_order=True).endswith(
        "--map FILE renames or leaves out tensors"
    )
