"""The processes of one run on several GPUs, or on a CPU for tests: ranks, in the words of MPI and PyTorch.

Rank 0 is the worker process of the run: it profiles, decides, records. It starts the other ranks of its machine as its
children. They train and evaluate with it, by repeating each call of its session, and end with it. On several machines,
one process of each starts the ranks there: `follow`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, cast

from benchmark import backend, warning
from benchmark.configs import imports
from benchmark.engine import device
from benchmark.errors import UserError
from benchmark.execution import forks, log, outcome, process_tree
from benchmark.execution.spec import Spec
from benchmark.execution.supervisor import RANK

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

    from benchmark.engine.session import Session

START_SECONDS = 1800.0
"""Seconds in which all ranks must have started; the nodes of a job may start one after the other."""

CAUSE_SECONDS = 5.0
"""Seconds to wait for what another rank died of, after a connection to it has broken."""

EXIT_SECONDS = 10.0
"""Seconds in which a rank must exit after its last call."""

TIMEOUT = timedelta(days=1)
"""Time that a rank waits for another one: they wait while rank 0 profiles. The worker's supervisor detects hangs."""

FAILURE = "failure"
"""Key of the store of the process group under which a rank says what it failed with."""

CONSEQUENCE = "consequence"
"""Key under which it says so if that looks like the failure of another rank: it counts if no other is found."""

CALLS = ("build", "train", "load", "arrange", "evaluate")
"""Methods of a session that all ranks call alike."""

PORTS = range(20_000, 60_000)
"""Ports of the store of a process group of several nodes, of which the id of their job selects one."""

_BROKEN = re.compile(r"gloo|NCCL|connection (closed|reset|refused)|broken pipe|process group", re.IGNORECASE)


@dataclass(frozen=True)
class Node:
    """This machine among those of a run.

    Attributes:
        index: its number, from 0.
        count: number of machines.
        address: name or address of the first one.
        port: port on it where ranks meet; 0 for any, on a single machine.
    """

    index: int = 0
    count: int = 1
    address: str = "127.0.0.1"
    port: int = 0


def node(environ: Mapping[str, str] = os.environ) -> Node:
    """Return this machine's place among those of a run, from the variables of Slurm or torchrun.

    A job of Slurm starts one task on each node (`sbatch --ntasks-per-node 1`), which starts the ranks there.

    Args:
        environ: environment variables. MASTER_ADDR and MASTER_PORT have precedence over the first node of a job and a
            port derived from its id.

    Raises:
        UserError: variables are missing or no numbers.
    """
    index = environ.get("SLURM_NODEID", environ.get("GROUP_RANK", "0"))
    count = environ.get("SLURM_STEP_NUM_NODES", environ.get("SLURM_NNODES", environ.get("GROUP_WORLD_SIZE", "1")))
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise UserError(f"the job says that this is node {index} of {count}: SLURM_NODEID and SLURM_NNODES are wrong")
    if int(count) == 1:
        return Node()
    address = environ.get("MASTER_ADDR") or first_host(environ.get("SLURM_JOB_NODELIST", ""))
    job = int(environ.get("SLURM_JOB_ID", "0"))
    port = int(environ.get("MASTER_PORT") or PORTS[job % len(PORTS)])
    return Node(int(index), int(count), address, port)


def first_host(nodelist: str) -> str:
    """Return the first name in a list of hosts of Slurm, such as `gpu[07-09,12],cpu1`.

    Raises:
        UserError: it is empty.
    """
    found = re.match(r"([^\[,]+)(?:\[(\d+)[^\]]*\]([^,]*))?", nodelist)
    if not found:
        raise UserError("the nodes of the job are not known: set MASTER_ADDR to the name of the first one")
    return "".join(part or "" for part in found.groups())


def obstacle(spec: Spec) -> str | None:
    """Return why a run cannot have its number of ranks, in one line; None if it can."""
    stages = (spec.config, *([spec.config.first_stage] if "first_stage" in spec.config else []))
    images = min(stage.train_dataloader.dataset.batch_size for stage in stages)
    if images < spec.world_size:
        what, least = ("1 image", "1") if images == 1 else (f"{images} images", f"{images} or less")
        return f"a batch of {what} has none for each of {spec.world_size} processes: give --gpus {least}"
    if spec.world_size > 1 and spec.compile:
        return "a network whose batches several processes share is not compiled: omit --compile or --gpus"
    return None


class Ranks:
    """The other ranks of a run, seen from rank 0.

    Args:
        spec: the run, with more than one rank.
    """

    def __init__(self, spec: Spec) -> None:
        self._spec, self._node = spec, node() if spec.nodes > 1 else Node()
        if spec.nodes != self._node.count:
            raise UserError(f"the run is of {spec.nodes} nodes, and its job of {self._node.count}")
        self._children = [_Child(spec, rank) for rank in range(1, spec.gpus)]
        self._store: Store | None = None
        self._failed = self._ended = False

    def open(self) -> None:
        """Open the store where ranks meet, before anything else, so that those of other machines notice a failure.

        Raises:
            UserError: the name of this machine has no address.
        """
        host, port = self._node.address, self._node.port
        _require_address(host)
        self._store = store = _store(host, port, is_master=True)
        for child in self._children:
            child.connection.send((host, store.port))

    def join(self) -> None:
        """Wait until all ranks have started, and form their process group.

        Raises:
            RuntimeError: one does not start.
        """
        store = self._store
        assert store is not None
        threading.Thread(target=self._watch, daemon=True).start()
        end = time.monotonic() + START_SECONDS
        for rank in range(1, self._spec.world_size):
            while not store.check([_ready(rank)]):
                if lost := self._lost():
                    raise RuntimeError(lost["error"])
                if time.monotonic() > end:
                    raise RuntimeError(f"rank {rank} did not start within {START_SECONDS:g} s")
                time.sleep(0.02)
        _form_group(self._spec, 0, store)

    def lost(self, error: BaseException) -> dict[str, Any] | None:
        """Return status, cause and error of the rank whose failure has broken a connection, as fields of the record.

        Args:
            error: what rank 0 has failed with.

        Returns:
            The fields, and the traceback as "traceback" if the rank has raised an exception; None if rank 0 has failed
            by itself.
        """
        self._failed = True
        end = time.monotonic() + CAUSE_SECONDS
        while True:
            if found := self._lost():
                return found
            if not _is_broken(error):
                return None
            if time.monotonic() > end:
                return self._told(CONSEQUENCE)
            time.sleep(0.02)

    def _watch(self) -> None:
        """End this process if another rank has died and this one does not notice, as in an operation of NCCL."""
        while not (self._ended or self._failed):
            time.sleep(1.0)
            if lost := self._lost():
                time.sleep(2 * CAUSE_SECONDS)
                if not (self._ended or self._failed):
                    print(lost.get("traceback", ""), lost["error"], sep="", file=sys.stderr, flush=True)
                    os._exit(1)

    def _lost(self) -> dict[str, Any] | None:
        if told := self._told(FAILURE):
            return told
        for child in self._children:
            code = child.process.exitcode
            if code is None or (self._store and self._store.check([_broken(child.rank)])):
                continue
            found = outcome.death(code, out_of_memory=False)  # it exits with 0 when the run has ended, and not before
            return {**found, "error": _of(child.rank, self._spec, found["error"])}
        return None

    def _told(self, key: str) -> dict[str, Any] | None:
        """Return what the first rank has said that it failed with."""
        if not (self._store and self._store.check([key])):
            return None
        found: dict[str, Any] = json.loads(self._store.get(key))
        return found

    def end(self, *, failed: bool) -> None:
        """End all ranks.

        Args:
            failed: whether rank 0 has raised an exception, so that they may wait for it and are killed.
        """
        from torch import distributed as dist

        failed, self._ended = failed or self._failed, True
        if dist.is_initialized() and not failed:
            with suppress(RuntimeError):
                _send("end")
                for child in self._children:
                    child.process.join(EXIT_SECONDS)
        for child in self._children:
            child.process.kill()
            child.process.join()
        if dist.is_initialized() and not (failed and self._spec.device == "cuda"):  # NCCL would wait for them
            with suppress(RuntimeError):
                dist.destroy_process_group()


@contextmanager
def started(spec: Spec) -> Iterator[Ranks | None]:
    """Start the other ranks of a run on this machine and end them afterwards; None if there are none."""
    if spec.world_size == 1:
        yield None
        return
    ranks, failed = Ranks(spec), True
    try:
        yield ranks
        failed = False
    finally:
        ranks.end(failed=failed)


def shared(session: Session) -> Session:
    """Return a session of rank 0 whose calls all ranks repeat."""
    return cast("Session", _SharedSession(session))


class _SharedSession:
    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name) if name in CALLS else getattr(self._session, name)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        _send(name, args, kwargs)
        return getattr(self._session, name)(*args, **kwargs)


def follow(spec: Spec) -> None:
    """Execute the ranks of this machine, which is not the first one of a run; return when they have ended.

    Raises:
        UserError: this is the first machine, or the name of that one has no address.
    """
    here = node()
    if here.index == 0:
        raise UserError("the first node of a run records it: its task runs `isolated`")
    _require_address(here.address)
    first = here.index * spec.gpus
    children = [_Child(spec, rank) for rank in range(first, first + spec.gpus)]
    for child in children:
        child.connection.send((here.address, here.port))
    try:
        while all(child.process.exitcode is None for child in children):
            multiprocessing.connection.wait([child.process.sentinel for child in children])
        if all(child.process.exitcode in (None, 0) for child in children):
            for child in children:
                child.process.join(EXIT_SECONDS)
    finally:
        for child in children:
            child.process.kill()
            child.process.join()


class _Child:
    """The process of a rank other than 0.

    A worker on a CPU has no threads yet and forks it, which saves the seconds of its imports. On a GPU, and in a
    process of the user's, it is spawned.
    """

    def __init__(self, spec: Spec, rank: int) -> None:
        self.rank = rank
        is_worker = multiprocessing.parent_process() is not None
        context: Any = multiprocessing.get_context("fork" if spec.device == "cpu" and is_worker else "spawn")
        theirs, self.connection = context.Pipe(duplex=False)
        self.process = context.Process(target=_rank, args=(spec, rank, os.getpid(), theirs))
        with _own_gpu(spec, rank):
            self.process.start()
        theirs.close()


@contextmanager
def _own_gpu(spec: Spec, rank: int) -> Iterator[None]:
    """Show a process that is started here only the GPU of its rank; rank 0 uses the first one."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    if spec.device != "cuda":
        yield
        return
    names = before.split(",") if before else [str(each) for each in range(spec.gpus)]
    os.environ["CUDA_VISIBLE_DEVICES"] = names[rank % spec.gpus]
    try:
        yield
    finally:
        os.environ.pop("CUDA_VISIBLE_DEVICES")
        if before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def _rank(spec: Spec, rank: int, parent: int, connection: Connection) -> None:
    """Execute a rank other than 0."""
    process_tree.die_with_parent(parent)
    process_tree.set_name(f"{RANK}{rank}")
    for number in (signal.SIGINT, signal.SIGTERM):  # rank 0 decides when they stop
        signal.signal(number, signal.SIG_IGN)
    log.open_streams()
    warning.redirect(lambda text: None)  # of rank 0
    backend.silence()
    address, port = connection.recv()
    store = _store(address, port, is_master=False)
    try:
        with forks.exit_in_children():
            _repeat_calls(spec, rank, store)
    except BaseException as error:
        found, text = outcome.failure(error), traceback.format_exc()
        found |= {"error": _of(rank, spec, found["error"]), "traceback": text}
        try:
            if _is_broken(error):  # by its words, which may be the network's own
                store.compare_set(CONSEQUENCE, "", json.dumps(found))
                store.set(_broken(rank), "")
            else:
                store.compare_set(FAILURE, "", json.dumps(found))
        except RuntimeError:  # the first rank has gone
            print(text, file=sys.stderr)
        sys.exit(1)


def _repeat_calls(spec: Spec, rank: int, store: Store) -> None:
    """Create the session of a rank and repeat the calls of rank 0."""
    from torch import distributed as dist

    device.use(spec.device)
    device.limit_threads(spec.config.protocol.threads)
    if "source" in spec.config:
        imports.load(imports.of(spec.config.source.imports))
    from benchmark.engine.hooks import Diverged, Interrupted
    from benchmark.execution.run import session_of

    store.set(_ready(rank), "")
    _form_group(spec, rank, store)
    session = session_of(spec)
    while (call := _receive())[0] != "end":
        name, args, kwargs = call
        with suppress(Diverged, Interrupted):  # in all ranks alike
            getattr(session, name)(*args, **kwargs)
    dist.destroy_process_group()


def _store(address: str, port: int, *, is_master: bool) -> Any:
    """Return the store where ranks meet: rank 0 keeps it, the others connect to it."""
    from torch import distributed as dist

    connect: Any = dist.TCPStore  # type: ignore[attr-defined]
    limit = timedelta(seconds=START_SECONDS)
    store = connect(address, port, is_master=is_master, wait_for_workers=False, timeout=limit)
    store.set_timeout(TIMEOUT)
    return store


def _require_address(host: str) -> None:
    """Check that a host has an address: PyTorch would ask for it until its time is up."""
    try:
        socket.getaddrinfo(host, None)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:  # the server of names does not answer now
            return
        raise UserError(
            f"{host}, the first node of the job, has no address: add to setup in the profile "
            "`export MASTER_ADDR=$(hostname -I | cut -d' ' -f1)`"
        ) from None


def _form_group(spec: Spec, rank: int, store: Store) -> None:
    from torch import distributed as dist

    if spec.nodes == 1 and sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the name of a host may have no address
    dist.init_process_group(
        "gloo" if spec.device == "cpu" else "cpu:gloo,cuda:nccl",
        store=dist.PrefixStore("group", store),  # type: ignore[attr-defined]
        rank=rank,
        world_size=spec.world_size,
        timeout=TIMEOUT,
    )


def _send(name: str, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> None:
    from torch import distributed as dist

    dist.broadcast_object_list([(name, args, kwargs or {})])


def _receive() -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    from torch import distributed as dist

    found: list[Any] = [None]
    dist.broadcast_object_list(found)
    call: tuple[str, tuple[Any, ...], dict[str, Any]] = found[0]
    return call


def _is_broken(error: BaseException) -> bool:
    """Return whether a collective operation has failed, as it does if another rank has died."""
    from torch import distributed as dist

    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and bool(_BROKEN.search(str(error))))


def _ready(rank: int) -> str:
    return f"ready_{rank}"


def _broken(rank: int) -> str:
    return f"broken_{rank}"


def _of(rank: int, spec: Spec, error: str) -> str:
    return f"rank {rank} of {spec.world_size}: {error}"
