"""Build segmentors from their configs: with weights, or on torch's meta device without them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

import benchmark.registration  # noqa: F401
from benchmark.backend import installed
from benchmark.configs.adaptation import nodes
from benchmark.errors import UserError, one_line

from mmseg.registry import MODELS  # isort: skip

NEEDS = {"Mask2FormerHead": "mmdet", "MaskFormerHead": "mmdet"}
"""Classes of mmsegmentation that need another package; other configs name theirs: `mmpretrain.ConvNeXt`."""

FOR_DEPTH = "DepthEstimator"
"""Class of mmsegmentation that inherits from a segmentor but is not one."""


def build(model_cfg: Mapping[str, Any], *, meta: bool = False) -> nn.Module:
    """Build a segmentor.

    Args:
        model_cfg: its config, as returned by `compose.model_config`.
        meta: put parameters and buffers on the meta device: shapes without values, in a fraction of the time.

    Raises:
        UserError: it is not a segmentor of RGB images, a package is missing, or a part is not registered or does
            not accept its arguments.
    """
    reason = obstacle(model_cfg)
    if reason:
        raise UserError(f"cannot be built: {reason}")
    if not meta:
        return _build(model_cfg)
    try:
        with torch.device("meta"), _Uninitialised():
            network = _build(model_cfg)
    except (RuntimeError, UserError):  # networks that read a tensor while they are built
        with torch.random.fork_rng(devices=[]):
            network = _build(model_cfg)
    return network.to("meta")


def obstacle(model_cfg: Mapping[str, Any]) -> str | None:
    """Return in one line why a network cannot be built as a segmentor of images; None if no reason is known."""
    if model_cfg.get("type") == FOR_DEPTH:
        return f"{FOR_DEPTH} estimates depth and is not a segmentor"
    package = missing_package(model_cfg)
    if package is not None:
        return f"needs {package.name}: run `{package.command}`"
    channels = (model_cfg.get("backbone") or {}).get("in_channels", 3)
    if channels != 3:
        return f"its backbone takes images of {channels} channels instead of 3"
    absent = next(
        (each for each in _initial_weights(model_cfg) if "://" not in each and not Path(each).is_file()), None
    )
    if absent is not None:
        return f"its config expects initial weights at {absent}, which does not exist"
    return None


def missing_package(model_cfg: Mapping[str, Any]) -> installed.Extra | None:
    """Return the missing optional package that a part of a network needs, or None."""
    for kind in _types(model_cfg):
        package = NEEDS.get(kind) or kind.partition(".")[0]
        extra = next((each for each in installed.missing_extras() if each.name == package), None)
        if extra is not None:
            return extra
    return None


def _build(model_cfg: Mapping[str, Any]) -> nn.Module:
    with DefaultScope.overwrite_default_scope("mmseg"):
        try:
            network: nn.Module = MODELS.build(copy.deepcopy(model_cfg))  # some segmentors write into their config
        except (KeyError, ImportError, TypeError, ValueError, AssertionError) as error:
            raise UserError(f"cannot be built: {one_line(error)}") from error
        except (AttributeError, IndexError, SystemExit) as error:
            raise UserError(f"cannot be built: {type(error).__name__}: {one_line(error)}") from error
    lazy = next((name for name, module in network.named_modules() if _is_lazy(module)), None)
    if lazy is not None:
        raise UserError(
            f"cannot be built: {lazy} ({type(network.get_submodule(lazy)).__name__}) has no shape before its first "
            "input: give it its number of channels"
        )
    return network


def _is_lazy(module: nn.Module) -> bool:
    tensors = (*module.parameters(recurse=False), *module.buffers(recurse=False))
    return any(is_lazy(tensor) for tensor in tensors)


def _types(model_cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield the class names in a nested config."""
    return (node["type"] for node in nodes(model_cfg) if isinstance(node.get("type"), str))


def _initial_weights(model_cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield addresses and paths of the initial weights of a network."""
    for node in nodes(model_cfg):
        for place in (node.get("pretrained"), node.get("checkpoint")):
            if isinstance(place, str):
                yield place


class _Uninitialised(TorchFunctionMode):
    """Skips the initialization of tensors on the meta device, which takes time and has no effect.

    Tensors whose values are read during construction (rates of stochastic depth from `linspace`) are on the CPU.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in INITIALISATION:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        if func is torch.linspace and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": "cpu"}
        return func(*args, **kwargs)


INITIALISATION = frozenset(
    [
        *(Tensor.zero_, Tensor.fill_, Tensor.uniform_, Tensor.normal_, Tensor.erfinv_, Tensor.clamp_),
        *(nn.init.constant_, nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_),
    ]
)
"""Operators that initialization calls in the end; a `TorchFunctionMode` does not see nested calls."""
