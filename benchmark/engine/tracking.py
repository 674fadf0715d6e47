"""Experiment trackers that show the curves of trainings: TensorBoard, MLflow, and Weights & Biases.

mmengine's visualization backends write them. No result depends on a tracker.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from mmengine import Config
from mmengine.registry import VISBACKENDS
from mmengine.visualization.vis_backend import BaseVisBackend

from benchmark.errors import UserError, one_line
from benchmark.results.layout import folder
from benchmark.warning import warn

Tracker = Literal["tensorboard", "mlflow", "wandb"]

EXPERIMENT = "segbench"
"""Name of the experiment of MLflow, and of the project of Weights & Biases."""


@dataclass(frozen=True)
class Tracking:
    """Where the curves of a training are written.

    Attributes:
        tracker: name of the tracker.
        home: folder of the tracker, of all runs. It is none of a run, whose folder may be deleted at its end.
        protocol: name of the protocol.
        architecture: name of the architecture.
        seed: seed of the run.
        run: identifier of the run.
    """

    tracker: Tracker
    home: Path
    protocol: str
    architecture: str
    seed: int
    run: str

    @classmethod
    def of(
        cls, tracker: Tracker | None, work_dir: Path, protocol: str, architecture: str, seed: int, run_id: str = "train"
    ) -> Tracking | None:
        """Return where a run is tracked, in a folder of its `work_dir`; None without a tracker."""
        if tracker is None:
            return None
        run = f"{protocol}-{folder(architecture)}-seed-{seed}-{run_id}"
        return cls(tracker, work_dir.absolute() / tracker, protocol, architecture, seed, run)

    @property
    def first_stage(self) -> Tracking:
        """The first of two stages, as a training of its own."""
        return replace(self, run=f"{self.run}-first_stage")

    def start(self, config: Config) -> TrackerBackend:
        """Begin the curves of a training, or continue those of one that resumes.

        Args:
            config: config of the training.
        """
        if self.tracker == "tensorboard":
            settings = {"type": "TensorboardVisBackend", "save_dir": str(self.home / self.run)}
            if not config.resume:  # the curves of an earlier attempt
                shutil.rmtree(self.home / self.run, ignore_errors=True)
        else:
            settings = self._mlflow() if self.tracker == "mlflow" else self._wandb(config.resume)
        backend = TrackerBackend(self.tracker, settings, self.run if config.resume else None)
        backend.add_config(config)
        return backend

    def _mlflow(self) -> dict[str, Any]:
        return {
            "type": "MLflowVisBackend",
            "save_dir": str(self.home),
            "tracking_uri": mlflow_store(self.home),
            "exp_name": EXPERIMENT,
            "run_name": self.run,
            "params": {"architecture": self.architecture, "protocol": self.protocol, "seed": self.seed},
            "tracked_config_keys": (),  # settings that change with each attempt cannot be logged twice
            "artifact_suffix": (),
        }

    def _wandb(self, resumes: bool) -> dict[str, Any]:
        run = {
            "project": EXPERIMENT,
            "group": self.protocol,
            "name": self.run,
            "id": self.run,
            "resume": "allow" if resumes else None,
            "mode": os.environ.get("WANDB_MODE", "offline"),
            "config": {"architecture": self.architecture, "protocol": self.protocol, "seed": self.seed},
            "settings": {"silent": True},
        }
        return {
            "type": "WandbVisBackend",
            "save_dir": str(self.home),
            "init_kwargs": run,
            "define_metric_cfg": [{"name": "*", "step_metric": "iteration"}],
        }


def prepare(tracker: Tracker, work_dir: Path) -> None:
    """Check that a tracker is installed, and create what processes must not create at the same time.

    Raises:
        UserError: its package is missing, or fails; the message has the command that installs it.
    """
    if find_spec(tracker) is None:
        raise UserError(f'--track {tracker} needs {tracker}: run `python -m pip install "segbench[{tracker}]"`')
    if tracker != "mlflow":
        return
    home = work_dir.absolute() / tracker
    home.mkdir(parents=True, exist_ok=True)
    try:
        import mlflow

        client = mlflow.MlflowClient(mlflow_store(home))
        if client.get_experiment_by_name(EXPERIMENT) is None:
            client.create_experiment(EXPERIMENT, artifact_location=(home / "artifacts").as_uri())
    except Exception as error:  # of its package, its files or its server
        raise UserError(f"--track mlflow: {one_line(error)}") from error


def viewer(tracker: Tracker, work_dir: Path) -> str:
    """Return the command that shows what a tracker has written."""
    home = work_dir / tracker
    if tracker == "tensorboard":
        return f"tensorboard --logdir {home}"
    if tracker == "mlflow":
        return f"mlflow ui --backend-store-uri {mlflow_store(home.absolute())}"
    return f"wandb sync {home}/wandb/*-run-*"


def mlflow_store(home: Path) -> str:
    """Return the address of MLflow's store: its own variable if it is set, else a database in a folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}"


class TrackerBackend(BaseVisBackend):
    """A visualization backend that a training neither waits for nor fails with.

    Scalars are written in a thread of their own: 28 ms for MLflow, as long as many a step. Where the tracker fails, a
    warning is printed and nothing more is written.

    Args:
        tracker: name of the tracker.
        backend: config of its visualization backend.
        resumed_run: name of the run that is continued; None for a new one.
    """

    def __init__(self, tracker: Tracker, backend: dict[str, Any], resumed_run: str | None) -> None:
        super().__init__(backend["save_dir"])
        self._tracker, self._resumed_run = tracker, resumed_run
        self._backend = VISBACKENDS.build(backend)
        self._failed = False
        self._thread = ThreadPoolExecutor(1)

    def _init_env(self) -> None: ...

    @property
    def experiment(self) -> Any:
        """The tracker's own object."""
        return self._backend.experiment

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Begin the run, and write the config of the training."""
        if self._tracker == "mlflow" and self._resumed_run:
            self._submit(lambda: _continue_mlflow_run(self._resumed_run, self._backend._tracking_uri))
        if self._tracker == "wandb":  # mmengine's backend would upload all code in the working directory
            self._submit(lambda: self._backend.experiment).result()
        else:
            self._submit(lambda: self._backend.add_config(config)).result()

    def add_scalar(self, name: str, value: Any, step: int = 0, **kwargs: Any) -> None:
        """Write one scalar."""
        self.add_scalars({name: value}, step)

    def add_scalars(self, scalar_dict: dict[str, Any], step: int = 0, file_path: Any = None, **kwargs: Any) -> None:
        """Write scalars of an iteration."""
        if self._tracker == "wandb":  # mmengine leaves the step out
            scalar_dict = {**scalar_dict, "iteration": step}
        self._submit(lambda: self._backend.add_scalars(scalar_dict, step))

    def close(self) -> None:
        """Write what is buffered, and end the run."""
        if self._tracker == "wandb":  # mmengine's backend calls what wandb has no longer
            self._submit(lambda: self._backend.experiment.finish()).result()
        else:
            self._submit(self._backend.close).result()

    def _submit(self, action: Callable[[], Any]) -> Future[None]:
        return self._thread.submit(self._call, action)

    def _call(self, action: Callable[[], Any]) -> None:
        if self._failed:
            return
        try:
            action()
        except Exception as error:  # of its package, its files or its server
            self._failed = True
            warn(f"segbench: warning: {self._tracker} stopped tracking: {one_line(error)}")


def _continue_mlflow_run(name: str | None, store: str) -> None:
    """Let the next run of MLflow in this process continue the latest one of a name, if there is one."""
    import mlflow

    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = client.search_runs([experiment.experiment_id], f"tags.`mlflow.runName` = '{name}'", max_results=1)
    if found:
        os.environ["MLFLOW_RUN_ID"] = found[0].info.run_id
