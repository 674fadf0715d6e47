"""The commands of docs/your-data.md work as they stand there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.cli import main
from benchmark.datasets.catalog import open_split
from benchmark.results.store import Store

PAGE = Path(__file__).parents[1] / "docs" / "your-data.md"
COLOURS = ((128, 128, 128), (128, 64, 128), (128, 128, 0), (64, 0, 128), (0, 0, 0))


def test_every_command_of_the_page(tmp_path, monkeypatch, capsys):
    if not PAGE.is_file():
        pytest.skip("no checkout")
    text = PAGE.read_text(encoding="utf-8")
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (palette,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    Path("palette.txt").write_text(palette)
    for folder in ("photos", "masks", "indices"):
        Path(folder).mkdir()
    train = open_split("shapes", "train")
    names = [f"street_{number:02}" for number in range(8)]
    for number, name in enumerate(names):
        label = train.label(number) % 5
        Image.fromarray(train.image(number)).save(f"photos/{name}.{('jpg', 'JPEG', 'png', 'tif')[number % 4]}")
        Image.fromarray(np.array(COLOURS, np.uint8)[label]).save(f"masks/{name}_mask.png")
        Image.fromarray(label).save(f"indices/{name}.png")
    Path("train.txt").write_text("\n".join(names[:5]))
    Path("val.txt").write_text("\n".join(names[5:]))
    commands = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 9
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "segbench"
        assert main(words) == 0, (command, capsys.readouterr().err)
    printed, said = capsys.readouterr()
    assert "shapes_64x64_smoke with max_iters = 2, data = streets" in printed
    assert "streets is used under shapes_64x64_smoke, the default" in said
    assert Path("streets-train.png").is_file()
    _without_the_card(tmp_path, capsys)


def _without_the_card(tmp_path, capsys):
    """Check that results need neither card nor data, and know nothing of the machine."""
    Path("streets.yaml").unlink()
    for folder in ("photos", "masks"):
        Path(folder).rename(tmp_path / folder)
    stored, problems = Store(Path("results")).scan()
    assert not problems
    assert {each.record.dataset.name for each in stored} == {"streets"}
    for each in stored:
        assert list(each.record.evaluations[0].iou) == ["sky", "road", "tree", "car"]
        assert str(tmp_path) not in each.path.read_text()
    assert main(["validate"]) == 0, capsys.readouterr().out
    assert main(["validate", "--recount"]) == 0, capsys.readouterr().out
    assert main(["report"]) == 0
    assert main(["leaderboard", "-p", "shapes_64x64_smoke", "--format", "latex"]) == 0
    page = Path("reports/index.html").read_text()
    assert "streets, 4 classes" in page
    assert str(tmp_path) not in page
