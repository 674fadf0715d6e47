"""Activation as a whole: light to import, cheap to repeat."""

from __future__ import annotations

import subprocess
import sys
import time

import torch

from benchmark import backend


def test_import_is_light():
    code = "import sys, benchmark.backend; print(*{'torch', 'numpy', 'cv2', 'mmengine'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_activation_is_idempotent_and_cheap():
    backend.activate()
    before = list(sys.meta_path), torch.serialization.get_safe_globals(), backend.adaptations()
    started = time.thread_time()  # others may be busy
    for _ in range(1000):
        backend.activate()
    assert (time.thread_time() - started) / 1000 < 50e-6
    assert (list(sys.meta_path), torch.serialization.get_safe_globals(), backend.adaptations()) == before


def test_every_adaptation_says_why_in_one_line():
    found = backend.adaptations()
    assert {"torchvision", "mmcv._ext", "checkpoints", "package metadata", "metafiles"} == {
        adaptation.name for adaptation in found
    }
    assert all(adaptation.why and "\n" not in adaptation.why for adaptation in found)
