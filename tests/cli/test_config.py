"""The printed config is one that mmengine reads, and is what a run is made of."""

from mmengine import Config

from benchmark.cli import main
from benchmark.configs.compose import compose


def test_it_is_the_config_of_the_run(tmp_path, capsys):
    assert main(["config", "enet", "-p", "shapes_64x64_smoke", "--seed", "3", "--max-iters", "2"]) == 0
    path = tmp_path / "enet.py"
    path.write_text(capsys.readouterr().out)
    expected = compose("enet", "shapes_64x64_smoke", seed=3, max_iters=2)
    assert Config.fromfile(path).to_dict() == expected.to_dict()


def test_two_stages_are_marked(capsys):
    assert main(["config", "espnet", "-p", "camvid_360x480_espnet"]) == 0
    assert capsys.readouterr().out.startswith("# The second of two stages")


def test_a_mistake_is_one_line(capsys):
    assert main(["config", "enet", "-p", "camvid"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
