"""Fixtures shared by several subpackages' tests."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.catalog import catalog
from benchmark.catalog.references import Reference, Source, StatedProtocol
from benchmark.confusion import scores
from benchmark.results import environment
from benchmark.results.record import (
    Artifact,
    Code,
    Complexity,
    Dataset,
    Environment,
    Evaluation,
    Latency,
    Memory,
    Protocol,
    Record,
    Training,
    fingerprint,
    run_id,
)
from benchmark.results.store import Samples, Store
from benchmark.results.summary import Conditions, Summary

VISIBLE_DEVICES = os.environ.get("CUDA_VISIBLE_DEVICES")
"""As it was given. Tests see no GPU unless all of them need one, and libraries look for it when they are imported."""
os.environ["CUDA_VISIBLE_DEVICES"] = ""

# A shell lets what it starts in the background, or by nohup, ignore these; commands that tests start are to obey them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

CLASSES = ["sky", "road_surface", "tree & hedge", "car"]
LABELS = np.array([*range(len(CLASSES)), 255], np.uint8)
ALL_IMAGES = {"train": 20, "val": 5, "test": 6}


def _truth(images: int) -> np.ndarray:
    """Pixels of each class in images of 64x64, void included; the car is in some images only."""
    truth = np.random.default_rng(1).integers(200, 900, (images, len(CLASSES) + 1))
    truth[::2, 3] = 0
    truth[:, -1] = 64 * 64 - truth[:, :-1].sum(axis=1)
    return truth


def _counts(images: int, quality: float, rng: np.random.Generator) -> np.ndarray:
    """Counts of images with equal ground truth whatever the quality."""
    size, truth = len(CLASSES) + 1, _truth(images)
    wrong = rng.dirichlet(np.ones(size), (images, size)) * (1 - quality)
    wrong[:, np.arange(size), np.arange(size)] += quality
    counts = np.floor(truth[..., None] * wrong).astype(np.int64)
    counts[..., 0] += truth - counts.sum(axis=2)
    return counts


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _prediction(counts: np.ndarray) -> np.ndarray:
    """The prediction whose confusion matrix with `_label` this is."""
    return np.concatenate([np.repeat(LABELS, row) for row in counts]).reshape(64, 64)


def _label(image: int) -> np.ndarray:
    """The label of an image, class by class."""
    return np.repeat(LABELS, _truth(ALL_IMAGES["test"])[image]).reshape(64, 64)


def _scores(checkpoint: str, iteration: int, counts: np.ndarray, void: str) -> Evaluation:
    found = scores(counts, void)
    by_class = {
        name: {c: None if np.isnan(v) else float(v) for c, v in zip(CLASSES, getattr(found, name), strict=True)}
        for name in ("iou", "acc")
    }
    return Evaluation(
        checkpoint=checkpoint,
        split="test",
        iteration=iteration,
        images=len(counts),
        miou=found.miou,
        macc=found.macc,
        aacc=found.aacc,
        counts=f"{checkpoint}_test",
        **by_class,
    )


def pytest_configure(config):
    """Show the GPU to `-m gpu` alone, and share the cores among the processes of pytest-xdist."""
    if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, environment.cores() // int(workers))))
    if config.option.markexpr == "gpu":
        from benchmark.selftest import gpu

        # cuBLAS reads its variable once a process, before the first test that trains deterministically.
        _restore(os.environ | {"CUDA_VISIBLE_DEVICES": VISIBLE_DEVICES, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"})
        if not config.option.collectonly and (reason := gpu.absent()):
            raise pytest.UsageError(f"no GPU to test on: {reason}")


def _restore(variables):
    """Let the environment be these variables; None stands for one that is not set."""
    given = {name: value for name, value in variables.items() if value is not None}
    for name in os.environ.keys() - given.keys():
        del os.environ[name]
    os.environ.update(given)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef, request):
    """What a fixture draws does not depend on what ran before it, in this process or in another."""
    _seed(f"{request.node.nodeid} {fixturedef.argname}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    """Nor does what a test draws."""
    _seed(item.nodeid)


def _seed(name):
    seed = zlib.crc32(name.encode())
    random.seed(seed)
    np.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(seed)


@pytest.fixture(autouse=True)
def _global_state(request):
    """A test that trains or selects a device leaves a state of its own; the next one shall not notice."""
    variables, here = dict(os.environ), sys.modules.get("mmengine.device.utils")
    device = here and here.DEVICE
    if request.node.get_closest_marker("gpu"):
        if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
            pytest.skip("needs a GPU, which only `pytest -m gpu` sees")
        from benchmark.engine.device import use

        use("cuda")
    yield
    _restore(variables)
    if here:
        here.DEVICE = device
    if torch := sys.modules.get("torch"):
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = False


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    """The user's cache stays among the files of tests, for the processes that they start too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session")
def make_record():
    """A builder of consistent results: `make_record(architecture, seed, quality, ...) -> (record, arrays)`."""

    def make(
        architecture="enet",
        seed=0,
        quality=0.7,
        *,
        status="ok",
        protocol="shapes_64x64_smoke",
        overrides=None,
        void="ignore",
        macs=1_000_000_000,
        latency_ms=10.0,
        version="0.1.0",
        digest_of_code=None,
        config=None,
        started="2025-01-02T03:04:05+00:00",
        device="Some CPU",
        shift=0,
        looks=0,
    ):
        rng = np.random.default_rng([seed, int(quality * 1e6)])
        ok, overrides = status == "ok", overrides or {}
        axes = {"data": {"digest": "d" * 64}, "schedule": {"iterations": 30, **overrides}, "batch": 8, "void": void}
        digest = fingerprint(axes)
        config = config or _sha256(architecture)
        run = f"{digest} {config} {seed} {quality}"
        iterations = axes["schedule"]["iterations"] if ok else 12
        validations = range(max(1, iterations // 2), iterations + 1, max(1, iterations // 2))
        weight, params, params_total = 4, macs // 50, macs // 40
        known = catalog.architectures().get(architecture)
        arrays = {}
        if ok:
            images = ALL_IMAGES["test"]
            names = [*np.roll(np.arange(len(CLASSES)), shift), len(CLASSES)]  # under which predictions are counted
            arrays = {
                "last_test": np.take(_counts(images, quality, rng), names, axis=2),
                "best_test": np.take(_counts(images, quality, rng), names, axis=2),
                "names_test": np.array([f"test_{i:03}" for i in range(images)]),
                "prediction_names": np.array(["test_001", "test_004"]),
            }
            arrays["predictions"] = np.stack([_prediction(arrays["last_test"][i]) for i in (1, 4)])
        record = Record(
            run_id=run_id(digest, architecture, config, seed, digest_of_code or version),
            status=status,
            error=None if ok else "the loss was not finite at iteration 12 <script>",
            architecture=architecture,
            method=known.method if known else architecture.partition("_")[0],
            config_sha256=config,
            protocol=Protocol(name=protocol, fingerprint=digest, axes=axes, overrides=overrides, void=void),
            seed=seed,
            dataset=Dataset(name="shapes", digest="d" * 64, classes=CLASSES, images=ALL_IMAGES),
            evaluations=[
                _scores(name, iteration, arrays[f"{name}_test"], void)
                for name, iteration in (("last", iterations), ("best", validations[0]))
            ]
            if ok
            else [],
            training=Training(
                iterations=iterations,
                images=8 * iterations,
                seconds=12.5,
                loss=[(i, 2.5 / i**0.5 + zlib.crc32(run.encode()) * 1e-15) for i in range(5, iterations + 1, 5)]
                or [(iterations, 2.0)],
                val_miou=[(i, 41.5 if i == validations[0] else 30.0) for i in validations if ok],
            ),
            complexity=Complexity(
                params=params,
                params_total=params_total,
                macs=macs,
                macs_torch=macs,
                uncounted=["aten::add"],
                size=(64, 64),
                classes=len(CLASSES),
            ),
            latency=[
                Latency(
                    regime="end_to_end",
                    clock="thread_cpu",
                    device=device,
                    size=(64, 64),
                    batch=1,
                    precision="float32",
                    layout="contiguous",
                    compiled=False,
                    threads=1,
                    median_ms=latency_ms,
                    p90_ms=latency_ms * 1.1,
                    iqr_ms=latency_ms * 0.05,
                    repeats=50,
                    anchor="resnet18",
                    anchor_median_ms=4.0,
                    anchor_ratio=latency_ms / 4,
                    unsteady=None,
                )
            ],
            memory=Memory(
                inference_peak=300 * 2**20 + weight * params, training_peak=900 * 2**20 + weight * params_total
            ),
            environment=Environment(
                code=Code(version=version, commit=_sha256(version)[:40], dirty=False, digest=digest_of_code),
                python="3.11.9",
                platform="Linux",
                packages={"torch": "2.13.0", "mmsegmentation": "1.2.2"},
                packages_sha256="e" * 64,
                cpu=device,
                cores=2,
                memory=8 * 2**30,
                device="cpu",
                gpu=None,
                cuda=None,
                cudnn=None,
                driver=None,
                threads=2,
                deterministic=True,
                adaptations=["mmcv._ext"],
            ),
            started=started,
            seconds=20.0,
            gpu_hours=0.0,
            looks=looks,
            artifacts=[
                Artifact(name=name, file=None, bytes=weight * params_total + 9000, sha256=_sha256(f"{run} {name}"))
                for name in ("checkpoint_last", "checkpoint_best")
                if ok
            ],
        )
        return record, arrays

    return make


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return Store(tmp_path / "results")


@pytest.fixture
def filled(store, make_record):
    """A store with two seeds of one architecture, one of another, a run that diverged, and one with an override."""
    for architecture, seed, quality, macs in [
        ("pspnet_r50-d8", 0, 0.8, 8_000_000_000),
        ("pspnet_r50-d8", 1, 0.82, 8_000_000_000),
        ("enet", 0, 0.6, 500_000_000),
    ]:
        store.add(*make_record(architecture, seed, quality, macs=macs, latency_ms=macs / 1e8))
    store.add(*make_record("mmseg:bisenetv1", status="diverged"))
    store.add(*make_record("enet", overrides={"iterations": 3}, macs=500_000_000))
    samples = Samples(
        images=np.full((2, 64, 64, 3), 90, np.uint8),
        labels=np.stack([_label(1), _label(4)]),
        names=np.array(["test_001", "test_004"]),
        classes=np.array(CLASSES),
        palette=np.array([(70, 130, 180), (128, 64, 128), (107, 142, 35), (0, 0, 142)], np.uint8),
    )
    store.add_samples("shapes_64x64_smoke", "d" * 64, samples)
    return store


@pytest.fixture(scope="session")
def camvid(request):
    """The folder that holds the real CamVid/: of SEGBENCH_DATA, or restored once from archives beside the checkout."""
    if place := os.environ.get("SEGBENCH_DATA"):
        if not Path(place, "CamVid").is_dir():
            pytest.skip(f"no CamVid in SEGBENCH_DATA={place}")
        return Path(place)
    restore = Path(__file__).parents[2] / "shared" / "data" / "camvid" / "restore.py"
    if not restore.is_file():
        pytest.skip("CamVid is not here: set SEGBENCH_DATA to the folder that holds CamVid/")
    home = request.config.cache.mkdir("camvid")
    if not (home / "CamVid").is_dir():
        with tempfile.TemporaryDirectory(dir=home) as work:
            subprocess.run([sys.executable, restore, work, "--format", "webp"], check=True, stdout=subprocess.DEVNULL)
            with suppress(OSError):  # another process of pytest-xdist was first
                Path(work, "CamVid").rename(home / "CamVid")
    return home


@pytest.fixture
def camvid_miniature(tmp_path):
    """The folder that holds a CamVid/ of the true format: 4 + 2 + 3 images of 36 x 48 pixels."""
    root = tmp_path / "miniature"
    rng = np.random.default_rng(0)
    for split, images, prefix in (("train", 4, "/SegNet/CamVid/"), ("val", 2, ""), ("test", 3, "")):
        lines = []
        for index in range(images):
            lines.append(f"{prefix}{split}/{split}_{index}.png {prefix}{split}annot/{split}_{index}.png")
            for folder, high, shape in ((split, 256, (36, 48, 3)), (f"{split}annot", 12, (36, 48))):
                path = root / "CamVid" / folder / f"{split}_{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, high, shape, dtype=np.uint8)).save(path)
        (root / "CamVid" / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def _save(path, pixels, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette is not None:
        image = image.convert("P")
        image.putpalette(palette)
    image.save(path)


def _voc(home, rng):
    """VOC 2012 with SBD: images of uneven sizes, labels as palette images, those of SBD as grey ones."""
    palette = [8 * (value % 32) for value in range(768)]
    lists = {
        "train": ["2007_000032", "2007_000039"],
        "val": ["2007_000033", "2007_000042", "2007_000061"],
        "aug": ["2008_000008", "2008_000002"],  # in no order, as mmsegmentation's converter leaves it
    }
    (home / "ImageSets/Segmentation").mkdir(parents=True)
    for part, names in lists.items():
        (home / f"ImageSets/Segmentation/{part}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            height, width = rng.integers(40, 90, 2)
            _save(home / f"JPEGImages/{name}.jpg", rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
            label = rng.choice(np.array([*range(21), 255], np.uint8), (height, width))
            folder = "SegmentationClassAug" if part == "aug" else "SegmentationClass"
            _save(home / folder / f"{name}.png", label, None if part == "aug" else palette)


def _cityscapes(home, rng):
    """Cityscapes an eighth as large: labels of all classes as published, and of the 19 that are trained."""
    kinds = [("train", "aachen", 2), ("train", "zurich", 1), ("val", "frankfurt", 2), ("val", "munster", 1)]
    for split, city, images in kinds:
        for index in range(images):
            name = f"{split}/{city}/{city}_{index:06}_000019"
            _save(home / f"leftImg8bit/{name}_leftImg8bit.png", rng.integers(0, 256, (128, 256, 3), dtype=np.uint8))
            label = rng.choice(np.array([*range(19), 255], np.uint8), (16, 32)).repeat(8, 0).repeat(8, 1)
            _save(home / f"gtFine/{name}_gtFine_labelTrainIds.png", label)
            _save(home / f"gtFine/{name}_gtFine_labelIds.png", np.full((128, 256), 7, np.uint8))  # road


def _ade20k(home, rng):
    """ADE20K: images of uneven sizes, labels from 1 on, and 0 is void."""
    for part, prefix, images in (("training", "train", 4), ("validation", "val", 3)):
        for index in range(1, images + 1):
            height, width = rng.integers(40, 90, 2)
            name = f"ADE_{prefix}_{index:08}"
            _save(home / f"images/{part}/{name}.jpg", rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
            _save(home / f"annotations/{part}/{name}.png", rng.integers(0, 151, (height, width), dtype=np.uint8))


@pytest.fixture(scope="session")
def miniatures(tmp_path_factory):
    """The folder that holds VOC 2012 with SBD, Cityscapes and ADE20K in their own layouts; not to be changed."""
    root = tmp_path_factory.mktemp("miniatures")
    _voc(root / "VOCdevkit/VOC2012", np.random.default_rng(0))
    _cityscapes(root / "cityscapes", np.random.default_rng(1))
    _ade20k(root / "ade/ADEChallengeData2016", np.random.default_rng(2))
    return root


@pytest.fixture
def two_stages(tmp_path, monkeypatch):
    """The name of a protocol like shapes_64x64_smoke that trains in two stages with weighted classes."""
    from benchmark.catalog import catalog

    name, folder = "shapes_64x64_stages", catalog.config_root() / "_base_" / "protocols"
    path = tmp_path / f"{name}.py"
    path.write_text(
        f'"""Two stages."""\n_base_ = {str(folder / "shapes_64x64_smoke.py")!r}\n'
        "protocol = dict(class_weights=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])\n"
        "first_stage = dict(\n"
        "    train_dataloader=dict(dataset=dict(batch_size=6)),\n"
        "    train_cfg=dict(max_iters=2, val_interval=1),\n"
        ")\n"
        "train_cfg = dict(max_iters=4, val_interval=2)\n"
    )
    protocols = {**catalog.protocols(), name: catalog.ProtocolEntry(name, "Two stages.", path)}
    monkeypatch.setattr(catalog, "protocols", lambda: protocols)
    return name


AXES = {
    "data": {"dataset": "camvid"},
    "splits": {"test": {"split": "test"}},
    "augmentation": {"crop_size": [360, 480]},
    "schedule": {"iterations": 1500},
    "batch": 16,
    "pretraining": None,
    "void": "ignore",
    "evaluation": {},
}
"""Of results that published figures may be compared with."""

STATED = StatedProtocol(None, "single", False, None, "none", "none", 1500, "ignore", None, None)


@pytest.fixture
def add_real(store, make_record):
    """Adds a result of camvid_360x480_scratch, or of the same on another dataset, to the store; its scores."""

    def add(architecture="enet", seed=0, quality=0.7, *, dataset="camvid", **fields):
        record, arrays = make_record(architecture, seed, quality, protocol="camvid_360x480_scratch", **fields)
        axes = AXES | {"data": {"dataset": dataset}}
        digest = fingerprint(axes)
        changes = {
            "run_id": run_id(digest, architecture, record.config_sha256, seed, record.environment.code.identity),
            "protocol": record.protocol.model_copy(update={"axes": axes, "fingerprint": digest}),
            "dataset": record.dataset.model_copy(update={"name": dataset}),
        }
        store.add(record.model_copy(update=changes), arrays)
        return record.evaluation()

    return add


@pytest.fixture
def publish(monkeypatch):
    """Puts figures in the place of all that is published: `publish(architecture, value, stated=..., **fields)`."""
    references = {}
    monkeypatch.setattr("benchmark.catalog.mmseg_zoo.everything", lambda: references)

    def publish(architecture, value, stated=None, **fields):
        name = f"{architecture}-figure{len(references)}"
        source = Source("A <paper>", "paper", None, "Table 1", "https://example.org/paper")
        plain = {"metric": "miou", "unit": "percent", "dataset": "camvid", "split": "test", "note": None}
        plain |= {"runs": 20, "selection": "mean", "confidence": "seen", "decimals": 2, "source": source}
        plain |= {"name": name, "method": "paper", "architecture": architecture, "ours": architecture}
        plain |= {"protocol": replace(STATED, **(stated or {}))}
        references[name] = Reference(value=round(value, 2), **plain | fields)

    return publish


NOTHING = dict.fromkeys(Summary._fields)


def _invented_run(architecture="net", seed=0, miou=60.0, *, dataset="camvid", overrides=None, status="ok", **axes):
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


def _invented_reference(value=60.0, **fields):
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
    return _invented_run


@pytest.fixture(scope="session")
def invent_reference():
    """A builder of references: `invent_reference(value, ...) -> Reference`."""
    return _invented_reference
