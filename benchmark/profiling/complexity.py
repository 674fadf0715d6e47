"""Count parameters and multiply-accumulates of the inference path, with two counters that must agree.

One multiply-accumulate (MAC) is one multiplication and one addition; FLOPs are twice as many. Convolutions, grouped
and transposed, linear layers, matrix products and attention are counted; biases, normalisation, activations, pooling
and resizing are not, but are listed. Everything runs on torch's meta device, except networks that read values: no
weight is allocated and nothing is computed; `segmentor.build` and `OUTPUTS` skip most of the remaining Python overhead.
"""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import torch
from fvcore.nn import jit_handles
from fvcore.nn.jit_analysis import JitModelAnalysis
from fvcore.nn.jit_handles import get_shape
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmark.errors import FOREIGN, UserError, one_line
from benchmark.profiling.inference import Inference
from benchmark.results.record import Complexity

aten = torch.ops.aten

COPIES = frozenset({"clone", "copy", "_to_copy", "_unsafe_view"})
"""Operators that copy a tensor without changing its values."""

SMALL = 64
"""Upper bound of strides."""

FAILURES = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""Exceptions that networks raise for unsupported input sizes; the text of others does not tell what they are."""


class SizeError(UserError):
    """Raised for an input size that a network cannot process.

    Attributes:
        takes: a valid size, if one was found.
        fixed: whether that is the only valid size.
    """

    def __init__(self, message: str, takes: tuple[int, int] | None = None, *, fixed: bool = False) -> None:
        super().__init__(message)
        self.takes, self.fixed = takes, fixed


class CounterWarning(UserWarning):
    """The two counters disagree, or one of them cannot count."""


@dataclass(frozen=True)
class Counts:
    """Counts of one forward pass.

    Attributes:
        macs: multiply-accumulates of convolutions, linear layers, matrix products and attention.
        params: parameters read by an operator.
        params_start: parameters used for the first image only, such as a text encoder whose output is cached.
        params_total: parameters of the network.
        uncounted: operators not included in `macs`, by name, with the number of their output elements.
        kernels: `macs` of convolutions, by the number of positions in the kernel: 9 for 3x3.
        transposed_surplus: additional MACs if transposed convolutions were counted at every output position, as by
            counters that treat them like other convolutions.
    """

    macs: int
    params: int
    params_start: int
    params_total: int
    uncounted: dict[str, int]
    kernels: dict[int, int]
    transposed_surplus: int = 0


def measure(model_cfg: Mapping[str, Any], size: tuple[int, int], classes: int, cross_check: bool = True) -> Complexity:
    """Measure size and operations of a segmentor's inference path for one image.

    Args:
        model_cfg: config of the segmentor, as returned by `compose.model_config`.
        size: height and width of the input in pixels.
        classes: number of classes of the config.
        cross_check: count with fvcore too; without it `macs` is None.

    Returns:
        Both counts. A `CounterWarning` is emitted if they differ or fvcore cannot count: torch's counter counts
        executed operators, fvcore only those that the scores depend on, so they differ for networks with unused
        computations.

    Raises:
        UserError: the network cannot be built, or cannot process an input of that size.
    """
    network, counted = _counted(model_cfg, size)
    macs = None
    if cross_check:
        try:
            macs = count_fvcore(network, _image(size, network))
        except Exception as error:  # the tracer may raise any exception; the other count is valid without it
            warnings.warn(f"fvcore cannot count: {one_line(error)}", CounterWarning, stacklevel=2)
        else:
            if macs != counted.macs:
                text = f"fvcore (dependencies of the scores) counts {macs} MACs, torch (executed) {counted.macs}"
                warnings.warn(text, CounterWarning, stacklevel=2)
    return Complexity(
        params=counted.params,
        params_start=counted.params_start,
        params_total=counted.params_total,
        macs=macs,
        macs_torch=counted.macs,
        uncounted=sorted(counted.uncounted),
        size=size,
        classes=classes,
    )


def tally(model_cfg: Mapping[str, Any], size: tuple[int, int]) -> Counts:
    """Count the cost of one image with torch's counter only: `measure` without cross-check, for comparisons.

    Args:
        model_cfg: config of the segmentor, as returned by `compose.model_config`.
        size: height and width of the input in pixels.

    Raises:
        UserError: see `measure`.
    """
    key = json.dumps(model_cfg, sort_keys=True, default=repr), size
    if key not in _tallies:
        _tallies[key] = _counted(model_cfg, size)[1]
    return _tallies[key]


_tallies: dict[tuple[str, tuple[int, int]], Counts] = {}
"""Counts by config and size: those of a run are needed before it, for a check and an estimate, and for each seed."""


def stride(network: Inference) -> int:
    """Return the stride of the backbone's coarsest map, in pixels of the input.

    Args:
        network: a network on the meta device.
    """

    def coarsest(side: int) -> int:
        backbone: Any = network.segmentor.backbone
        maps = tree_leaves(backbone(_image((side, side), network)))
        return min(map_.shape[-1] for map_ in maps if isinstance(map_, Tensor) and map_.dim() == 4)

    near, far = 512, 1024
    with torch.no_grad():  # a difference of two inputs cancels borders that a network adds or crops
        return (far - near) // (coarsest(far) - coarsest(near))


def _counted(model_cfg: Mapping[str, Any], size: tuple[int, int]) -> tuple[Inference, Counts]:
    """Return a network and its counts for one image: on the meta device, or on the CPU if it reads values."""
    network = Inference(model_cfg, size, meta=True)
    if min(size) < SMALL and min(size) < stride(network):
        raise UserError(f"an input of {size[0]}x{size[1]} is smaller than the network's stride of {stride(network)}")
    try:
        return network, count(network, _image(size, network))
    except UserError:
        raise
    except FOREIGN as error:
        if "meta" not in str(error) and not _is_own(model_cfg):
            raise _size_error(model_cfg, network, size, error) from error
    with torch.random.fork_rng(devices=[]):
        computed = Inference(model_cfg, size)
    try:
        return computed, count(computed, _image(size, computed))
    except UserError:
        raise
    except FOREIGN as error:
        raise _size_error(model_cfg, network, size, error) from error


def _is_own(model_cfg: Mapping[str, Any]) -> bool:
    """Return whether a network is the user's, which need not run on the meta device."""
    return (model_cfg.get("backbone") or {}).get("type") == "OwnNetwork"


def _size_error(
    model_cfg: Mapping[str, Any], network: Inference, size: tuple[int, int], error: BaseException
) -> SizeError:
    """Return the error for a size at which a network fails, with a valid size if one is found."""
    message = f"cannot process an input of {_by(size)}"
    said = one_line(error) if isinstance(error, FAILURES) else f"{type(error).__name__}: {one_line(error)}"
    built_for = (model_cfg.get("backbone") or {}).get("img_size")
    fixed = (built_for, built_for) if isinstance(built_for, int) else tuple(built_for or size)
    if fixed != size and _takes(network, fixed):
        return SizeError(f"{message}: it is built for {_by(fixed)}", fixed, fixed=True)
    for factor in (2, 4, 8, 16):
        larger = (factor * size[0], factor * size[1])
        if _takes(network, larger):
            return SizeError(f"{message}: {said}; {_by(larger)} is large enough", larger)
    return SizeError(f"{message}: {said}")


def _takes(network: Inference, size: tuple[int, int]) -> bool:
    """Return whether a network can process an input of a size; False if it does not run on the meta device."""
    if not _image(size, network).is_meta:
        return False
    network.size = size
    try:
        count(network, _image(size, network))
    except FOREIGN:
        return False
    return True


def _by(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"


def _image(size: tuple[int, int], network: nn.Module) -> Tensor:
    """Return an image on the device of a network: the CPU if it has no tensors."""
    tensor = next(chain(network.parameters(), network.buffers()), None)
    return torch.zeros(1, 3, *size, device="cpu" if tensor is None else tensor.device)


@contextmanager
def _any_algorithm() -> Iterator[None]:
    """Disable deterministic mode, which replaces some operators; nothing is computed here."""
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("default")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)


@_any_algorithm()
def count(network: nn.Module, *inputs: Tensor) -> Counts:
    """Count a forward pass of a network in steady state with torch's own formulas (`torch.utils.flop_counter`).

    The second of two passes is counted: results cached by the first one (SAN encodes the names of the classes) have no
    cost for later images.

    Fused attention is decomposed into matrix products, which have formulas. `uncounted` excludes operators that process
    no values: views, operators that create a tensor, and copies (`COPIES`). An in-place operator is listed under the
    name of its functional variant, an operator from outside aten with its namespace.

    Args:
        network: a network in evaluation mode, on the meta device, or on the CPU if it reads values.
        inputs: its arguments, on the same device.
    """
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        with _Watch() as first:
            network(*inputs)
        with _Watch() as seen:
            network(*inputs)
    return Counts(
        macs=seen.flops // 2,  # torch's formulas end in `* 2`, so the division is exact
        params=sum(parameter.numel() for parameter in seen.parameters),
        params_start=sum(parameter.numel() for parameter in first.parameters - seen.parameters),
        params_total=sum(parameter.numel() for parameter in network.parameters()),
        uncounted=dict(seen.uncounted),
        kernels=dict(seen.kernels),
        transposed_surplus=seen.transposed_surplus,
    )


@_any_algorithm()
def count_fvcore(network: nn.Module, *inputs: Tensor) -> int:
    """Count multiply-accumulates of one forward pass with fvcore, in the graph traced by `torch.jit`.

    The graph contains only operators that the output depends on.

    Args:
        network: a network in evaluation mode, on the meta device.
        inputs: its arguments, on the meta device.
    """
    # FlopCountAnalysis is not used, because its handles for norms, resizing and pooling cannot be removed.
    analysis = JitModelAnalysis(network, inputs).set_op_handle(**HANDLES)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad(), _Untraced():  # type: ignore[no-untyped-call]
        return int(analysis.total())


class _Watch(TorchDispatchMode):
    """Counts operators with a formula, and records the others that process values, and the parameters read.

    Attributes:
        flops: FLOPs by torch's formulas, two for each multiply-accumulate.
        uncounted: output elements of operators without a formula, by name.
        parameters: parameters read by an operator.
        kernels: multiply-accumulates of convolutions, by the number of positions in the kernel.
        transposed_surplus: additional MACs of transposed convolutions if counted at their output positions.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.uncounted: Counter[str] = Counter()
        self.parameters: set[nn.Parameter] = set()
        self.kernels: Counter[int] = Counter()
        self.transposed_surplus = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if _is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        tensors = list(_tensors((*args, *kwargs.values())))
        self.parameters.update(tensor for tensor in tensors if isinstance(tensor, nn.Parameter))
        shortcut = OUTPUTS.get(func) if tensors and tensors[0].is_meta else None
        result = (shortcut or func)(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        elif tensors and _touches_values(func):
            first = next(_tensors((result,)), None)
            self.uncounted[_name(func)] += 0 if first is None else first.numel()
        if func is aten.convolution.default:
            image, weight, transposed = args[0], args[1], args[6]
            # Every weight of a channel's kernels is applied at every output position; for transposed, every input
            # position.
            positions = (image if transposed else result).shape[2:].numel() * len(image)
            self.kernels[weight.shape[2:].numel()] += weight.numel() * positions
            if transposed:
                self.transposed_surplus += weight.numel() * (result.shape[2:].numel() * len(image) - positions)
        return result


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the tensors among an operator's arguments or results, including those in lists."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _normalised(images: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(images), images.new_empty(0), images.new_empty(0)


def _resized(images: Tensor, size: Sequence[int], *_: Any) -> Tensor:
    return images.new_empty((*images.shape[:2], *size))


def _sampled(images: Tensor, grid: Tensor, *_: Any) -> Tensor:
    return _resized(images, grid.shape[1:3])


OUTPUTS: dict[Any, Callable[..., Any]] = {
    aten.native_batch_norm.default: _normalised,
    aten.upsample_bilinear2d.default: _resized,
    aten.grid_sampler_2d.default: _sampled,
}
"""Output shapes of three frequent operators on the meta device.

Torch needs milliseconds to infer a shape, because it decomposes these operators in Python.
"""


@cache
def _is_composite(func: Any) -> bool:
    """Return whether an operator is a sequence of others, which torch does not decompose under inference mode."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


@cache
def _touches_values(func: Any) -> bool:
    return not (_is_view(func) or _is_creation(func) or _name(func) in COPIES)


def _is_view(func: Any) -> bool:
    """Return whether the output shares the memory of an input that the operator does not write to."""
    return any(result.alias_info is not None and not result.alias_info.is_write for result in func._schema.returns)


def _is_creation(func: Any) -> bool:
    """Return whether only the shape of its argument is used."""
    return _name(func).startswith("new_") or _name(func).endswith("_like")


def _name(func: Any) -> str:
    name = func.overloadpacket.__name__.removesuffix("_")
    return name if func.namespace == "aten" else f"{func.namespace}::{name}"


class _Untraced(TorchDispatchMode):
    """Lets `torch.jit` trace on the meta device.

    During a trace, sizes are tensors, for which the meta device's Python formulas for output shapes fail. So tracing is
    disabled while an operator runs, below the level where it is recorded. Only convolution is recorded one level
    further down, as `_convolution`, which the meta device does not call by itself.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        included = torch._C._dispatch_tls_local_include_set()
        excluded = torch._C._dispatch_tls_local_exclude_set().remove(torch._C._dispatch_key_parse("Tracer"))
        with torch._C._ForceDispatchKeyGuard(included, excluded):
            if func is aten.convolution.default:
                with self:
                    return aten._convolution.default(*args, False, False, True, True)
            if func is aten._convolution.default:
                func, args = aten.convolution.default, args[:9]
            tracing = torch._C._get_tracing_state()
            torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
            try:
                return func(*args, **(kwargs or {}))
            finally:
                torch._C._set_tracing_state(tracing)  # type: ignore[attr-defined]


def _same_convolution(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Count a convolution with `padding="same"` or "valid"."""
    return Counter(conv=jit_handles.conv_flop_count(*map(get_shape, (inputs[0], inputs[1], outputs[0]))))


def _product(inputs: list[Any], outputs: list[Any]) -> int:
    """Count a matrix product over broadcast batch dimensions."""
    return int(math.prod(get_shape(outputs[0])) * get_shape(inputs[0])[-1])


def _batched_addmm(inputs: list[Any], outputs: list[Any]) -> int:
    return _product(inputs[1:], outputs)


def _einsum(inputs: list[Any], outputs: list[Any]) -> int:
    """Count an einsum of two operands exactly; fvcore's own handle rounds to four digits."""
    terms, _, result = inputs[0].toIValue().replace(" ", "").partition("->")
    shapes = [get_shape(operand) for operand in inputs[1].node().inputs()]
    extent = {
        letter: length
        for term, shape in zip(terms.split(","), shapes, strict=True)
        for letter, length in zip(term, shape, strict=True)
    }
    if len(shapes) != 2 or not result:
        raise NotImplementedError(f"einsum {terms}->{result}")
    contracted = set(extent) - set(result)
    return math.prod(extent.values()) if contracted else 0


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """Count scores and weighted sum of scaled dot-product attention."""
    query, key, value = map(get_shape, inputs[:3])
    return int(math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


HANDLES: dict[str, Callable[[list[Any], list[Any]], Any]] = {
    "aten::_convolution": jit_handles.conv_flop_jit,
    "aten::_convolution_mode": _same_convolution,
    "aten::linear": jit_handles.linear_flop_jit,
    "aten::addmm": jit_handles.addmm_flop_jit,
    "aten::mm": _product,
    "aten::matmul": _product,
    "aten::bmm": jit_handles.bmm_flop_jit,
    "aten::baddbmm": _batched_addmm,
    "aten::einsum": _einsum,
    "aten::scaled_dot_product_attention": _attention,
}
"""Handles of counted operators: fvcore's, or our own if it is missing or inexact."""
