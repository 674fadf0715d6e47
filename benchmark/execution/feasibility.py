"""Check that a network can be trained under a protocol, before a run starts: on the meta device, without computing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmark.engine import segmentor
from benchmark.errors import FOREIGN, UserError, one_line
from benchmark.profiling import complexity

if TYPE_CHECKING:
    from mmengine import Config

TOO_FEW = "Expected more than 1 value per channel"
"""What batch normalization of PyTorch says of one image whose map is one pixel."""


def check(config: Config, architecture: str) -> None:
    """Check that a network can process the crops and the images of a protocol, and can be trained with its batch size.

    Args:
        config: from `compose.compose`.
        architecture: name of the network, for messages.

    Raises:
        UserError: it cannot be built, cannot process an input of that size, normalizes single values, or returns
            something else than scores.
    """
    try:
        for stage in (config, *([config.first_stage] if "first_stage" in config else [])):
            crop = tuple(stage.data_preprocessor["size"] if stage is config else stage.model.data_preprocessor["size"])
            for size in dict.fromkeys((crop, tuple(config.protocol.size))):
                complexity.tally(stage.model, size)
            _check_training(stage.model, stage.train_dataloader.dataset.batch_size, crop)
    except UserError as error:
        text = str(error)
        raise UserError(text if text.startswith(architecture) else f"{architecture}: {text}") from error


def _check_training(model_cfg: Mapping[str, Any], batch: int, crop: tuple[int, int]) -> None:
    """Compute scores as in training: on the meta device, and where a network of the user's fails there, on the CPU."""
    is_own = model_cfg["backbone"]["type"] == "OwnNetwork" if "backbone" in model_cfg else False
    if batch > 1 and not is_own:
        return
    for meta in (True, False) if is_own else (True,):
        try:
            with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(is_own):
                network: Any = segmentor.build(model_cfg, meta=meta).train()
                maps = network.extract_feat(torch.zeros(min(batch, 2), 3, *crop, device="meta" if meta else "cpu"))
                for head in _heads(network):
                    head(maps)
            if is_own and not maps[-1].requires_grad:
                raise UserError(_nothing_to_learn(network.backbone))
            return
        except UserError:
            raise
        except FOREIGN as error:  # such as an operator that the meta device lacks
            if TOO_FEW in str(error):
                raise UserError(
                    f"cannot be trained with a batch of one image of {crop[0]}x{crop[1]}: it has batch normalization "
                    "over a map of 1x1 pixel, which needs at least two images: --batch-size 2"
                ) from error
            if not meta:
                raise UserError(f"cannot be trained: {type(error).__name__}: {one_line(error)}") from error


def _nothing_to_learn(network: nn.Module) -> str:
    """Return why the gradients of a network's scores reach no parameter."""
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return "cannot be trained: it has no parameters that require gradients"
    return "cannot be trained: its scores are detached from its parameters, so they have no gradients"


def _heads(network: Any) -> list[nn.Module]:
    """Return the heads that take the maps of the backbone: of a cascade the first."""
    found: list[nn.Module] = []
    for name in ("decode_head", "auxiliary_head"):
        head = getattr(network, name, None)
        if isinstance(head, nn.ModuleList):
            found += [head[0]] if name == "decode_head" else list(head)
        elif isinstance(head, nn.Module):
            found.append(head)
    return found
