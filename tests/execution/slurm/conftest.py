"""A Slurm cluster of two nodes on this machine: a controller, two slurmd and a munged, with files of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from benchmark.execution.process_tree import die_with_parent

NODES = ("node1", "node2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

SETTINGS = """\
ClusterName=segbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdSpoolDir={folder}/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,requeue_delay=6
SlurmdParameters=config_overrides
SlurmdTimeout=15
SlurmctldTimeout=10
InactiveLimit=0
KillWait=5
MinJobAge=3600
JobRequeue=1
ReturnToService=2
NodeName={nodes} NodeAddr=127.0.0.1 NodeHostname={host} Port={ports} CPUs={cpus} RealMemory=32000
PartitionName=main Nodes={nodes} Default=YES PriorityTier=1 GraceTime=20 MaxTime=UNLIMITED
PartitionName=urgent Nodes={nodes} PriorityTier=2
"""


def missing() -> str | None:
    """Return why no cluster can run here; None if one can."""
    if os.name != "posix" or not Path("/proc/self/stat").exists():
        return "Slurm needs Linux"
    if absent := [each for each in PROGRAMS if shutil.which(each, path=PATH) is None]:
        return f"{', '.join(absent)}: not installed (Debian: apt-get install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "slurmd starts jobs as root alone"
    return None


class Cluster:
    """Starts the daemons in a folder and ends all of them, and what they have started, in `stop`.

    Args:
        folder: for configuration, states and logs.
        cpus: of each node, whatever the machine has.
    """

    def __init__(self, folder: Path, cpus: int = 2) -> None:
        self.folder, self._cpus = folder, cpus
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._variables = {"PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
        self.environment = os.environ | self._variables

    def start(self) -> None:
        """Start it and wait until both nodes are idle."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)  # munged refuses a socket in a folder that others can write to
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        controller, *ports = _free_ports(1 + len(NODES))
        names = {"nodes": ",".join(NODES), "ports": ",".join(map(str, ports)), "controller": controller}
        (self.folder / "slurm.conf").write_text(
            SETTINGS.format(
                folder=self.folder, host=socket.gethostname(), user=getpass.getuser(), cpus=self._cpus, **names
            )
        )
        (self.folder / "cgroup.conf").write_text("")  # none of the machine's
        self._launch(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={key}",
            f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munged.seed",
        )
        self._wait(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._launch("slurmctld", "-D", "-f", self._variables["SLURM_CONF"])
        for node in NODES:
            self.start_node(node)
        self._wait(lambda: self.nodes() == dict.fromkeys(NODES, "idle"), "the nodes")

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node."""
        (self.folder / node).mkdir(exist_ok=True)
        self._launch("slurmd", "-D", "-N", node, "-f", self._variables["SLURM_CONF"], name=node)

    def kill_node(self, node: str) -> None:
        """Kill the slurmd of a node and all that it has started, as a loss of power does."""
        daemon = self._daemons.pop(node)
        steps = _processes(lambda command: command.startswith("slurmstepd") and _of(command, self.jobs(node)))
        family = [daemon.pid, *(each for step in steps for each in _descendants(step))]
        for process in family:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        daemon.wait()

    def jobs(self, node: str) -> list[str]:
        """Return the ids of the jobs on a node."""
        return self("squeue", "-h", "-w", node, "-o", "%A").split()

    def nodes(self) -> dict[str, str]:
        """Return the state of each node; none while the controller does not answer."""
        try:
            return dict(line.split() for line in self("sinfo", "-h", "-N", "-p", "main", "-o", "%N %t").splitlines())
        except subprocess.CalledProcessError:
            return {}

    def states(self) -> dict[str, str]:
        """Return the state of every job, by its id or, of a task of an array, ARRAY_TASK."""
        lines = [line.split("|") for line in self("squeue", "-h", "-r", "-t", "all", "-o", "%F|%K|%T").splitlines()]
        return {f"{job}_{task}" if task.isdigit() else job: state for job, task, state in lines}

    def clear(self) -> None:
        """Cancel all jobs and wait until the nodes are idle."""
        self("scancel", "-u", getpass.getuser())
        self._wait(lambda: self.nodes() == dict.fromkeys(NODES, "idle"), "the nodes")

    def __call__(self, *command: str) -> str:
        """Run a command of Slurm; return its output."""
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout

    def stop(self) -> None:
        """End everything."""
        with suppress(subprocess.SubprocessError, OSError):
            subprocess.run(["scancel", "-u", getpass.getuser()], env=self.environment, capture_output=True, timeout=10)
        left = [process for daemon in self._daemons.values() for process in _descendants(daemon.pid)]
        left += [
            each
            for step in _processes(lambda c: c.startswith("slurmstepd"))
            for each in _descendants(step)
            if self._is_mine(each)
        ]
        left += [each for each in _processes(lambda _: True) if self._is_mine(each) and each != os.getpid()]
        for process in dict.fromkeys(left):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for daemon in self._daemons.values():
            daemon.wait()
        self._daemons.clear()

    def _is_mine(self, process: int) -> bool:
        """Return whether a process was started in this cluster, by its environment."""
        try:
            variables = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
        except OSError:
            return False
        return f"SLURM_CONF={self._variables['SLURM_CONF']}".encode() in variables

    def _launch(self, *command: str, name: str = "") -> None:
        with (self.folder / f"{name or command[0]}.out").open("ab") as log:
            self._daemons[name or command[0]] = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),  # even if the tests are killed
            )

    def _wait(self, is_ready, what: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not is_ready():
            if time.monotonic() > end or any(each.poll() is not None for each in self._daemons.values()):
                logs = "".join(f"\n{path.name}: {path.read_text()[-2000:]}" for path in self.folder.glob("*.out"))
                raise RuntimeError(f"{what} did not start{logs}")
            time.sleep(0.2)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A cluster that runs until the tests end."""
    if why := missing():
        pytest.skip(why)
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def _of(command: str, jobs: list[str]) -> bool:
    return any(f"[{job}." in command for job in jobs)


def _processes(is_wanted) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if is_wanted(path.read_bytes().replace(b"\0", b" ").decode(errors="replace")):
                found.append(int(path.parent.name))
    return found


def _descendants(process: int) -> list[int]:
    """Return a process and all that it has started, directly or not."""
    found = [process]
    for each in found:
        with suppress(OSError):
            for thread in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return found


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
