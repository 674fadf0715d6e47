import json
import shutil
import subprocess
import sys

import pytest

from benchmark.cli import main
from benchmark.datasets.camvid import CamVid
from benchmark.datasets.cityscapes import Cityscapes
from benchmark.datasets.source import PublishedSplit
from benchmark.datasets.verify import verify


@pytest.fixture
def published(camvid_miniature, monkeypatch):
    """Makes the miniature the published CamVid; the folder that holds it."""
    identities = {split: PublishedSplit(v.images, v.digest) for split, v in verify("camvid", camvid_miniature).items()}
    monkeypatch.setattr(CamVid, "published", identities)
    return camvid_miniature


def test_verify_prints_a_table(published, capsys):
    assert main(["data", "verify", "camvid", "--root", str(published)]) == 0
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    assert lines[0] == f"camvid in {published}"
    assert lines[2].split() == ["train", "val", "test"]
    assert lines[3].split() == ["images", "4", "2", "3"]
    assert lines[4].split() == ["size", "36x48", "36x48", "36x48"]
    shares = verify("camvid", published)["val"].pixels / (2 * 36 * 48)
    for line, name, share in zip(lines[5:17], (*CamVid.classes, "void"), shares, strict=True):
        assert line.split()[0] == name
        assert line.split()[3] == f"{100 * share:.2f}"
    assert lines[-1] == "everything is as published"
    assert errors == ""


def test_verify_prints_json_alone(published, capsys):
    assert main(["data", "verify", "camvid", "--root", str(published), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["problems"] == []
    assert answer["root"] == str(published)
    train = answer["splits"]["train"]
    assert train["images"] == 4
    assert train["sizes"] == {"36x48": 4}
    assert train["sha256"] == CamVid.published["train"].digest
    assert list(train["percent"]) == [*CamVid.classes, "void"]
    assert sum(train["percent"].values()) == pytest.approx(100)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_verify_names_what_is_wrong_and_exits_1(published, capsys, options):
    path = published / "CamVid" / "trainannot" / "train_3.png"
    path.unlink()
    assert main(["data", "verify", "camvid", "--root", str(published), *options]) == 1
    assert f"{path} is missing" in capsys.readouterr().out


def test_verify_of_an_unpublished_copy_exits_1(camvid_miniature, capsys):
    assert main(["data", "verify", "camvid", "--root", str(camvid_miniature)]) == 1
    assert "train is not as published: 4 images instead of 367" in capsys.readouterr().out


def test_verify_of_what_is_not_there_says_how_to_get_it(tmp_path, capsys):
    assert main(["data", "verify", "camvid", "--root", str(tmp_path)]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(f"segbench: error: no CamVid in {tmp_path}: `segbench data get camvid --root ")
    assert errors.count("\n") == 1


def test_root_comes_from_the_environment(published, capsys, monkeypatch):
    monkeypatch.setenv("SEGBENCH_DATA", str(published))
    assert main(["data", "verify", "camvid"]) == 0


def test_get_then_verify(published, tmp_path, capsys):
    root = tmp_path / "root"
    for _ in range(2):
        assert main(["data", "get", "camvid", "--from", str(published), "--root", str(root)]) == 0
        output = capsys.readouterr().out
        assert output.splitlines()[0] == f"camvid is in {root / 'CamVid'}, every pixel as published"
        assert f"SEGBENCH_DATA={root}" in output
    assert main(["data", "verify", "camvid", "--root", str(root)]) == 0


def test_get_that_fails_is_one_line(tmp_path, capsys):
    assert main(["data", "get", "camvid", "--from", str(tmp_path / "nowhere"), "--root", str(tmp_path)]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors == f"segbench: error: {tmp_path / 'nowhere'} does not exist\n"


def test_get_of_the_embedded_dataset_has_nothing_to_do(capsys):
    assert main(["data", "get", "shapes"]) == 0
    assert "generated on the fly" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["get", "verify"])
def test_unknown_dataset_is_said(action, capsys):
    assert main(["data", action, "camvit"]) == 2
    assert (
        "unknown dataset 'camvit': there are ade20k, camvid, camvid_180x240, cityscapes, shapes, voc12, voc12aug"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("total", [50_000_000, None])
def test_download_is_shown_in_a_few_lines(total, capsys):
    from benchmark.cli.data import _progress

    with _progress() as progress:
        for done in range(0, 50_000_001, 50_000):
            progress(done, total)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == ("0.0 MB of 50.0" if total else "0.0 MB")
    assert len(lines) == (11 if total else 3)


def test_terminal_gets_a_bar(capsys, monkeypatch):
    from benchmark.cli.data import _progress

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with _progress() as progress:
        progress(25_000_000, 50_000_000)
        progress(50_000_000, 50_000_000)
    assert "50.0/50.0 MB" in capsys.readouterr().err


def test_data_needs_no_torch():
    code = (
        "import sys; from benchmark.cli import main; main(['data', 'verify', 'shapes'])\n"
        "sys.exit(bool({'torch', 'mmseg', 'cv2', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_verify_takes_the_folder_as_a_word_too(published, miniatures, capsys):
    assert main(["data", "verify", "camvid", str(published)]) == 0
    assert main(["data", "verify", "ade20k", str(miniatures / "ade/ADEChallengeData2016")]) == 1
    assert "train is not as published: 4 images instead of 20210" in capsys.readouterr().out


def test_make_then_verify(miniatures, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Cityscapes, "published", {"train": PublishedSplit(3, None), "val": PublishedSplit(3, None)})
    root = shutil.copytree(miniatures, tmp_path / "root")
    for path in root.rglob("*_labelTrainIds.png"):
        path.unlink()
    assert main(["data", "verify", "cityscapes", str(root)]) == 1
    assert main(["data", "make", "cityscapes", "--root", str(root)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("6 labels written")
    assert main(["data", "verify", "cityscapes", str(root)]) == 0
    assert (
        capsys.readouterr().out.splitlines()[-1] == "the number of images is as published, and every file can be read"
    )


def test_get_of_what_takes_an_account_says_where_to_register(tmp_path, capsys):
    assert main(["data", "get", "cityscapes", "--root", str(tmp_path)]) == 2
    errors = capsys.readouterr().err
    assert "register at https://www.cityscapes-dataset.com" in errors
    assert errors.count("\n") == 1
