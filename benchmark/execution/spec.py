"""The specification of a run, and its identity."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.catalog import catalog
from benchmark.catalog.catalog import Architecture
from benchmark.configs import axes, compose
from benchmark.datasets import catalog as datasets
from benchmark.datasets.digest import digest
from benchmark.datasets.source import DatasetSplit, Split
from benchmark.results import code, record
from benchmark.results.layout import folder

if TYPE_CHECKING:
    from mmengine import Config

    from benchmark.engine.loader import Resident
    from benchmark.engine.timings import TrainingMode
    from benchmark.engine.tracking import Tracker
    from benchmark.results.record import Record


HANG_SECONDS = 1800.0
"""Seconds without progress after which a run hangs: profiling and compilation report none for minutes."""

PASSING = ("killed", "exited", "hung", "out_of_memory", "node_failed", "lost")
"""Causes of failures that may not occur again: not exceptions, divergence and time limits."""


@dataclass(frozen=True)
class Identity:
    """The identity of a run, independent of the machine: everything that its id is derived from.

    Attributes:
        axes: everything in protocol and data that can change results, by axis.
        fingerprint: hash of the axes.
        config_sha256: hash of the resolved config of the network.
        code: digest of the code that can change results.
        run_id: identifier of the result.
    """

    axes: Mapping[str, Any]
    fingerprint: str
    config_sha256: str
    code: str
    run_id: str

    @classmethod
    def of(cls, config: Config, dataset: str, architecture: str, seed: int, world_size: int = 1) -> Identity:
        """Compute the identity of a run.

        Args:
            config: composed for the run.
            dataset: digest of the data.
            architecture: name of the architecture.
            seed: seed of the run.
            world_size: number of its processes; it is an axis for networks of which only the user knows whether they
                compute the same in several processes.
        """
        found = axes.axes_of(config, dataset)
        if world_size > 1 and "source" in config:
            found["world_size"] = world_size
        fingerprint, config_sha256, digest = record.fingerprint(found), axes.config_hash(config), code.digest()
        run_id = record.run_id(fingerprint, architecture, config_sha256, seed, digest)
        return cls(found, fingerprint, config_sha256, digest, run_id)


@dataclass(frozen=True, eq=False)
class Spec:
    """The specification of a run: plain data that is sent to a worker.

    Attributes:
        architecture: name of the architecture.
        protocol: name of the protocol, or path of its file.
        seed: seed of the run.
        device: "cpu" or "cuda".
        deterministic: only deterministic algorithms.
        latency: whether latency is measured.
        overrides: further arguments of `compose.compose`.
        root: folder of the dataset, None for its default place.
        results: folder of the store.
        work_dir: folder for weights and logs of all runs.
        keep_weights: keep the weights after the run; None for the protocol's setting.
        resident: where batches are prepared, see `engine.loader`.
        compile: whether the network is compiled for training; None for if it is expected to save time, on a GPU.
        mode: how steps are computed; None for autotuning on a GPU, and eager mode on a CPU.
        timeout: seconds on the device after which it is killed and recorded as a failure; None for no limit.
        hang_timeout: seconds without progress after which it is killed and recorded as a failure; None for no limit.
        retries: number of further attempts if it ends for a cause that may pass, see `PASSING`.
        attempt: number of this attempt.
        deadline: time of `time.monotonic` at which it is interrupted, to be resumed later; None for no deadline.
        track: tracker that shows the curves of the training, see `engine.tracking`; None for none.
        gpus: number of processes on each node, each with a GPU if the device is one; they share each batch.
        nodes: number of machines, for executors that can use several.
        looks: number of times that seeds were added because a verdict was inconclusive, this time included.
    """

    architecture: str
    protocol: str
    seed: int
    device: str
    deterministic: bool = True
    latency: bool = True
    overrides: dict[str, Any] = field(default_factory=dict)
    root: Path | None = None
    results: Path = Path("results")
    work_dir: Path = Path("work_dirs")
    keep_weights: bool | None = None
    resident: Resident = "auto"
    compile: bool | None = None
    mode: TrainingMode | None = None
    timeout: float | None = None
    hang_timeout: float | None = HANG_SECONDS
    retries: int = 0
    attempt: int = 1
    deadline: float | None = None
    gpus: int = 1
    nodes: int = 1
    looks: int = 0
    track: Tracker | None = None

    @cached_property
    def entry(self) -> Architecture:
        """The architecture, sent to workers with the spec: they may know no folders of the user's."""
        return catalog.architecture(self.architecture)

    @property
    def name(self) -> str:
        """Name of the architecture in results."""
        return self.entry.name

    @property
    def protocol_name(self) -> str:
        """Name of the protocol in results."""
        return catalog.protocol_name(self.protocol)

    @property
    def world_size(self) -> int:
        """The number of processes that train it."""
        return self.gpus * self.nodes

    @property
    def folder(self) -> Path:
        """The folder of the weights and logs of this run."""
        return self.work_dir / self.protocol_name / folder(self.name) / self.identity.run_id

    @property
    def keeps_weights(self) -> bool:
        """Whether the weights are kept after the run."""
        return bool(self.config.protocol.keep_weights if self.keep_weights is None else self.keep_weights)

    @cached_property
    def config(self) -> Config:
        """The composed config of the run; must not be modified."""
        return compose.compose(
            self.architecture,
            self.protocol,
            seed=self.seed,
            root=self.root,
            deterministic=self.deterministic,
            **self.overrides,
        )

    @cached_property
    def identity(self) -> Identity:
        """The identity of the run, computed once and sent to workers with the spec.

        Raises:
            UserError: the data are missing or cannot be read.
        """
        dataset = digest(sources(self.config.protocol.dataset, self.root))
        return Identity.of(self.config, dataset, self.name, self.seed, self.world_size)

    def with_deadline(self, deadline: float | None) -> Spec:
        """Return the same run with another deadline, keeping cached values."""
        return self._changed(deadline=deadline)

    def next_attempt(self, ended: Record) -> Spec | None:
        """Return the same run if it is to be repeated after it ended with a record; else None."""
        is_late = self.deadline is not None and time.monotonic() >= self.deadline
        if self.retries == 0 or is_late or ended.cause not in PASSING:
            return None
        return self._changed(attempt=self.attempt + 1, retries=self.retries - 1)

    def _changed(self, **changes: Any) -> Spec:
        other = replace(self, **changes)
        other.__dict__.update(
            (name, self.__dict__[name]) for name in ("config", "identity", "entry") if name in self.__dict__
        )
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the identity, so that a worker neither recomputes nor changes it.

        It is valid in other folders and on other machines: paths are absolute, that of the data included, and the
        deadline is a time of day, as `time.monotonic` of two machines cannot be compared.
        """
        _ = self.identity
        state = self.__dict__ | {"root": datasets.locate(self.config.protocol.dataset, self.root)}
        state = {name: value.absolute() if isinstance(value, Path) else value for name, value in state.items()}
        if self.deadline is not None:
            state["deadline"] = self.deadline - time.monotonic() + time.time()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over the state, with the deadline on the clock of this machine."""
        self.__dict__.update(state)
        if self.deadline is not None:
            self.__dict__["deadline"] = self.deadline - time.time() + time.monotonic()


@cache
def sources(dataset: str, root: Path | None) -> dict[Split, DatasetSplit]:
    """Return the splits of a dataset, opened once per process."""
    return datasets.open_splits(dataset, root)
