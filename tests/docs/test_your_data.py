"""The commands of docs/your-data.md work as they stand there."""

from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.cli import main
from benchmark.datasets.catalog import open_split
from benchmark.results.store import Store

COLOURS = ((128, 128, 128), (128, 64, 128), (128, 128, 0), (64, 0, 128), (0, 0, 0))


def test_every_command_of_the_page(page, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path / "cache"))
    Path("palette.txt").write_text(page.block("# palette.txt"))
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
    assert len(page.commands) == 9
    for command in page.commands:
        page.run(command)
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
