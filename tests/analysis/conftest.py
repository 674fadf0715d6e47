"""Invented results and references that agree on every axis, for tests to pull apart."""

import pytest

from benchmark.references import Reference, Source, StatedProtocol
from benchmark.results.summary import Conditions, Summary

NOTHING = dict.fromkeys(Summary._fields)


def _run(architecture="net", seed=0, miou=60.0, *, dataset="camvid", overrides=None, status="ok", **axes):
    """A result of a protocol of 1000 iterations from scratch."""
    plain = {
        "data": {"dataset": dataset},
        "splits": {"test": {"split": "test" if dataset == "camvid" else "val"}},
        "augmentation": {"crop_size": [360, 480]},
        "schedule": {"iterations": 1000},
        "batch": 8,
        "pretraining": None,
        "void": "ignore",
        "evaluation": {},
    }
    conditions = Conditions(f"{dataset}_360x480", "0" * 16, overrides or {}, plain | axes)
    return Summary(
        **NOTHING
        | {"conditions": conditions, "run_id": f"{architecture}-{seed}", "architecture": architecture, "seed": seed}
        | {"config_sha256": "c" * 64, "method": "paper", "started": "2026-01-01", "status": status, "device": "CPU"}
        | {"miou_percent": miou, "macc_percent": 70.0, "aacc_percent": 90.0, "input": "360x480", "version": "1"}
    )


def _reference(value=60.0, **fields):
    """A published figure of that protocol, a single run; `fields` are of the reference or of what it states."""
    stated = {
        "input_size": (360, 480),
        "scales": "single",
        "flip": False,
        "crop": (360, 480),
        "pretraining": "none",
        "extra_data": "none",
        "iterations": 1000,
        "void": "ignore",
        "flop_convention": None,
        "params_include": None,
        "batch": 8,
    }
    plain = {
        "name": "net-miou",
        "method": "paper",
        "architecture": "net",
        "metric": "miou",
        "unit": "percent",
        "decimals": 2,
        "dataset": "camvid",
        "split": "test",
        "runs": 1,
        "selection": "single",
        "confidence": "seen",
        "source": Source("A paper", "paper", None, "Table 1", "https://example.org"),
        "note": None,
    }
    stated |= {name: fields.pop(name) for name in list(fields) if name in StatedProtocol.__dataclass_fields__}
    return Reference(value=value, protocol=StatedProtocol(**stated), **plain | fields)


@pytest.fixture(scope="session")
def invent_run():
    """A builder of results: `invent_run(architecture, seed, miou, ...) -> Summary`."""
    return _run


@pytest.fixture(scope="session")
def invent_reference():
    """A builder of references: `invent_reference(value, ...) -> Reference`."""
    return _reference
