"""Networks whose code does what code should not do: the fault comes in the second training step."""

import ctypes
import os
import signal
import subprocess
import threading
import time
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import torch
from torch import nn

NOTES = Path(os.environ.get("SEGBENCH_TEST_NOTES", "."))
"""Folder in which networks leave notes for the test."""


class Good(nn.Module):
    def __init__(self, num_classes, width=4):
        super().__init__()
        layers = [nn.Conv2d(3, width, 3, 4, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, num_classes, 1)]
        self.layers, self.steps = nn.Sequential(*layers), 0

    def forward(self, images):
        if self.training and images.device.type != "meta" and len(images) > 1:
            self.steps += 1
            if self.steps == 2:
                self.fault()
        return self.layers(images)

    def fault(self):
        pass


class Raises(Good):
    def fault(self):
        raise ValueError("of the network's own")


class Hangs(Good):
    def fault(self):
        time.sleep(10**6)


class TakesMemory(Good):
    def fault(self):
        torch.empty(10**15)


class Diverges(Good):
    def forward(self, images):
        return super().forward(images) * (float("nan") if self.training and self.steps == 2 else 1.0)


class Exits(Good):
    def fault(self):
        print("farewell")
        os._exit(0)


class Terminates(Good):
    def fault(self):
        os.kill(os.getpid(), signal.SIGTERM)


class Prints(Good):
    def fault(self):
        for _ in range(int(os.environ["SEGBENCH_TEST_MEGABYTES"])):
            print("x" * 999_999)


class Crashes(Good):
    def fault(self):
        ctypes.string_at(0)


class KilledOnce(Good):
    def fault(self):
        note = NOTES / "killed"
        if not note.exists():
            note.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Forks(Good):
    def fault(self):
        if os.fork() == 0:
            time.sleep(10**6)


class Doubles(Good):
    """Both processes go on."""

    def fault(self):
        os.fork()


class ChildRaises(Good):
    """Its child fails, and it goes on once the child has ended."""

    def fault(self):
        if (child := os.fork()) == 0:
            raise ValueError("in the child")
        assert os.waitpid(child, 0)[1] == 1 << 8
        assert not list(NOTES.parent.glob("results/*/*ChildRaises*"))


class ChildExits(Good):
    def fault(self):
        if (child := os.fork()) == 0:
            raise SystemExit
        assert os.waitpid(child, 0)[1] == 0


class Daemon(Good):
    """It leaves the session of its run and its parent, and ignores what may be ignored."""

    def fault(self):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                while True:
                    time.sleep(10**6)
            os._exit(0)


class Starts(Good):
    def fault(self):
        subprocess.Popen(["sleep", "1000000"], start_new_session=True)


class Threads(Good):
    def fault(self):
        threading.Thread(target=time.sleep, args=(10**6,)).start()


class Shares(Good):
    def fault(self):
        SharedMemory(NOTES.parent.name, create=True, size=1 << 12)
        os._exit(7)


class SharesTensors(Good):
    """A process that it leaves ignores SIGTERM and has all of its shared memory open."""

    def fault(self):
        torch.multiprocessing.set_sharing_strategy("file_system")
        shared = SharedMemory(f"{NOTES.parent.name}-tensors", create=True, size=1 << 12)
        self.kept = [torch.zeros(9).share_memory_(), shared]
        (NOTES / "shares").write_text(str(os.getpid()))
        Daemon.fault(self)


class LeaksFiles(Good):
    def fault(self):
        self.kept = []
        while True:
            self.kept.append(Path("/dev/null").open())  # noqa: SIM115


class RaisesNoException(Good):
    def fault(self):
        raise type("Own", (BaseException,), {})("no Exception")


class Stuck(Good):
    """It hangs, and so does a process of its own."""

    def fault(self):
        subprocess.Popen(["sleep", "1000000"], start_new_session=True)
        (NOTES / "stuck").touch()
        time.sleep(10**6)


class Slow(Good):
    def forward(self, images):
        if self.training and self.steps and os.environ.get("SEGBENCH_TEST_SLOW"):
            (NOTES / "trains").touch()
            time.sleep(0.5)
        return super().forward(images)
