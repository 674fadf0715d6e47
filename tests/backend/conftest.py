"""These tests import mmcv and mmengine directly, so the backend is activated before any of them is collected."""

from benchmark.backend import activate

activate()
