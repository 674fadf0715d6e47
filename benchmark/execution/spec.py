"""What is to be run, and what names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.catalog import catalog
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


@dataclass(frozen=True)
class Identity:
    """What a run is, wherever it is made: all that its name follows from.

    Attributes:
        axes: everything of protocol and data that can move a number, by axis.
        fingerprint: hash of the axes.
        config_sha256: hash of the resolved config of the network.
        code: digest of the code that can move a number.
        run_id: name of the result.
    """

    axes: Mapping[str, Any]
    fingerprint: str
    config_sha256: str
    code: str
    run_id: str

    @classmethod
    def of(cls, config: Config, dataset: str, architecture: str, seed: int) -> Identity:
        """Work it out.

        Args:
            config: composed for the run.
            dataset: digest of the data.
            architecture: name of the architecture.
            seed: of the run.
        """
        found = axes.axes_of(config, dataset)
        fingerprint, config_sha256, digest = record.fingerprint(found), axes.config_hash(config), code.digest()
        run_id = record.run_id(fingerprint, architecture, config_sha256, seed, digest)
        return cls(found, fingerprint, config_sha256, digest, run_id)


@dataclass(frozen=True, eq=False)
class Spec:
    """What is to be run; plain data that travels to a worker.

    Attributes:
        architecture: name of the architecture.
        protocol: name of the protocol.
        seed: seed of the run.
        device: "cpu" or "cuda".
        deterministic: only deterministic algorithms.
        latency: whether latency is measured.
        overrides: further arguments of `compose.compose`.
        root: folder of the dataset, None for its default place.
        results: folder of the store.
        work_dir: folder for weights and logs of all runs.
        keep_weights: keep the weights after the run; None as the protocol says.
        resident: where batches are made, see `engine.loader`.
        compile: whether the network is compiled for the training; None for where it is expected to pay, on a GPU.
        mode: how steps are computed; None for the fastest way by trial on a GPU, and eagerly on a CPU.
        timeout: seconds on the device after which it is given up as a failure; None for never.
        deadline: when it is interrupted, to be resumed another time, on the clock of `time.monotonic`; None for never.
        looks: times that seeds had been added because a verdict was inconclusive, this one last.
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
    deadline: float | None = None
    looks: int = 0

    @property
    def name(self) -> str:
        """Name of the architecture in results."""
        return catalog.architecture(self.architecture).name

    @property
    def folder(self) -> Path:
        """Where the weights and logs of this run go."""
        return self.work_dir / self.protocol / folder(self.name) / self.identity.run_id

    @cached_property
    def config(self) -> Config:
        """The composed config of the run; it is not to be changed."""
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
        """What names the run, worked out once: a worker gets it with the spec.

        Raises:
            UserError: the data are not there, or cannot be read.
        """
        dataset = digest(sources(self.config.protocol.dataset, self.root))
        return Identity.of(self.config, dataset, self.name, self.seed)

    def until(self, deadline: float | None) -> Spec:
        """Return the same run with another deadline, and with what is known of it already."""
        other = replace(self, deadline=deadline)
        other.__dict__.update((name, self.__dict__[name]) for name in ("config", "identity") if name in self.__dict__)
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Take the identity along, so that a worker need not work it out, and cannot come to another one."""
        _ = self.identity
        return self.__dict__


@cache
def sources(dataset: str, root: Path | None) -> dict[Split, DatasetSplit]:
    """Return the splits of a dataset, opened once a process."""
    return datasets.open_splits(dataset, root)
