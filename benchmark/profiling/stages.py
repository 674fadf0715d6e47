"""Breakdown of a network's parameters and MACs by stage: its modules, in the order in which they are executed.

Every operator is assigned to the module whose forward pass runs it, so that the MACs of all stages add up to those of
the network (`benchmark.profiling.complexity.count`). The dominant module is split into its children, and so on, until
the stages are about those of a paper's figure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._pytree import tree_leaves

from benchmark.catalog.stages import Stage
from benchmark.profiling.complexity import Watch, any_algorithm, counted_network, image

LIMIT = 20
"""Maximum number of stages that a network is split into."""

DOMINANT = 0.5
"""A stage with more than this share of the parameters or of the MACs is split."""

NEARLY = 0.97
"""A stage is not split if a part without children has at least this share of it."""

SMALL = 0.002
"""Stages with at most this share of both are shown as one."""

ROOT = "segmentor"
ITSELF = ".(itself)"
"""Suffix of the name of a stage that is what a module does besides its children."""

OTHER = "other modules"


class _ModuleWatch(Watch):
    """Counts MACs and records output shapes by module.

    Attributes:
        macs: multiply-accumulates of each module, without those of its children.
        outputs: shape of the last output of each module, in the order of their first calls.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.macs: Counter[str] = Counter()
        self.outputs: dict[str, tuple[int, ...] | None] = {}
        self._names = {module: name for name, module in network.named_modules()}
        self._running = [ROOT]
        self._assigned = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        self.macs[self._running[-1]] += (self.flops - self._assigned) // 2
        self._assigned = self.flops  # a composite operator has dispatched its parts by now: they are not counted twice
        return result

    @contextmanager
    def following(self) -> Iterator[None]:
        """Record which module is executed."""

        def enter(module: nn.Module, _: Any) -> None:
            self._running.append(self._names.get(module, self._running[-1]))
            self.outputs.setdefault(self._running[-1], None)

        def leave(_module: nn.Module, _: Any, output: Any) -> None:
            maps = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
            self.outputs[self._running.pop()] = tuple(maps[-1].shape[1:]) if maps else None

        hooks = register_module_forward_pre_hook(enter), register_module_forward_hook(leave)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


@any_algorithm()
def stages(model_cfg: Mapping[str, Any], size: tuple[int, int]) -> list[Stage]:
    """Count parameters and MACs of the stages of a segmentor's inference path for one image.

    Args:
        model_cfg: config of the segmentor, as returned by `compose.model_config`.
        size: height and width of the input in pixels.

    Returns:
        The stages in the order of execution; their parameters and MACs add up to `Counts.params` and `Counts.macs`.

    Raises:
        UserError: see `complexity.measure`.
    """
    network, _ = counted_network(model_cfg, size)  # which has run it once, so that what it caches is not counted
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _ModuleWatch(network) as seen, seen.following():
        network(image(size, network))
    params = Counter[str]()
    for name, parameter in network.named_parameters():
        if parameter in seen.parameters:
            params[name.rpartition(".")[0]] += parameter.numel()
    names = list(dict.fromkeys([*seen.outputs, *params, *seen.macs]))
    modules = {
        name + (ITSELF if any(other.startswith(f"{name}.") for other in names) else ""): (params[name], seen.macs[name])
        for name in names
        if params[name] or seen.macs[name]
    }
    found = _Tree(modules, seen.outputs)
    return found.merged(found.split())


class _Tree:
    """The modules of a network with their counts.

    Args:
        modules: parameters and multiply-accumulates of each module, without those of its children, in the order of
            execution.
        outputs: output shape of each executed module.
    """

    def __init__(self, modules: Mapping[str, tuple[int, int]], outputs: Mapping[str, tuple[int, ...] | None]) -> None:
        self.modules, self.outputs = modules, outputs
        self.total = self.stage(ROOT)

    def stage(self, name: str) -> Stage:
        """Return a module with everything inside it."""
        inner = [counts for each, counts in self.modules.items() if _is_in(each, name)]
        ran = [shape for each, shape in self.outputs.items() if _is_in(each, name)]
        shape = self.outputs[name] if name in self.outputs else (ran or [None])[-1]
        return Stage(name.removeprefix(f"{ROOT}."), sum(p for p, _ in inner), sum(macs for _, macs in inner), shape)

    def share(self, stage: Stage) -> float:
        """Return the larger of the shares in the network's parameters and MACs."""
        return max(stage.params / (self.total.params or 1), stage.macs / (self.total.macs or 1))

    def children(self, name: str) -> list[str]:
        """Return the children of a module that have parameters or MACs."""
        depth = name.count(".") + 2
        inner = [each for each in self.modules if _is_in(each, name) and each != name]
        return list(dict.fromkeys(".".join(each.split(".")[:depth]) for each in inner))

    def split(self) -> list[str]:
        """Return the names of the stages."""
        names = self.children(ROOT)
        while True:
            for name in sorted(names, key=lambda each: -self.share(self.stage(each))):
                is_large = name == f"{ROOT}.backbone" or self.share(self.stage(name)) > DOMINANT
                parts = self.children(name) if is_large else []
                if self.is_informative(name, parts) and len(names) - 1 + len(parts) <= LIMIT:
                    at = names.index(name)
                    names[at : at + 1] = parts
                    break
            else:
                return names

    def is_informative(self, name: str, parts: Sequence[str]) -> bool:
        """Return whether a split shows more than that a convolution outweighs the normalisation after it."""
        largest = max(parts, key=lambda each: self.share(self.stage(each)), default=None)
        if largest is None:
            return False
        return bool(self.children(largest)) or self.share(self.stage(largest)) < NEARLY * self.share(self.stage(name))

    def merged(self, names: Sequence[str]) -> list[Stage]:
        """Return the stages, with all small ones as the last."""
        found = [self.stage(name) for name in names]
        small = [stage for stage in found if self.share(stage) <= SMALL]
        if len(small) < 2:
            return found
        rest = Stage(OTHER, sum(each.params for each in small), sum(each.macs for each in small), None)
        return [*(stage for stage in found if stage not in small), rest]


def _is_in(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")
