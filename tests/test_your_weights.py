"""The commands of docs/your-weights.md work as they stand there."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from benchmark.cli import main
from benchmark.configs import compose
from benchmark.engine import segmentor
from benchmark.weights import checkpoint

PAGE = Path(__file__).parents[1] / "docs" / "your-weights.md"
CGNET = "mmseg:cgnet_fcn_4xb4-60k_cityscapes-680x680"


def weights(architecture):
    torch.manual_seed(0)
    return segmentor.build(compose.model_config(architecture, classes=8)).state_dict()


def named(name):
    """Return a name as the map of the page takes it."""
    name = name.replace("decode_head.conv_seg", "net.head").replace("backbone.", "net.")
    return re.sub(r"stage(\d)", lambda match: f"down{int(match[1]) - 1}", name)


def test_every_command_of_the_page(tmp_path, monkeypatch, capsys):
    if not PAGE.is_file():
        pytest.skip("no checkout")
    text = PAGE.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (rules,) = re.findall(r"```\n(# map\.txt.*?)```", text, re.DOTALL)
    Path("map.txt").write_text(rules)
    enet = weights("enet")
    torch.save({f"x{index}": tensor for index, tensor in enumerate(enet.values())}, "theirs.pth")
    torch.save({named(name): tensor for name, tensor in enet.items()} | {"aux.weight": torch.zeros(3)}, "named.pth")
    torch.save({"meta": {}, "state_dict": weights(CGNET)}, "cgnet.pth")
    commands = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 5
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "segbench"
        assert main(words) == 0, command
        if words[0] == "import":
            imported = checkpoint.read(Path("enet.pth")).state
            assert all(torch.equal(imported[name], enet[name]) for name in enet)
    printed = capsys.readouterr().out
    assert "left out by the map: aux.weight" in printed
    assert "normalisation: mean 103.5 116.3 123.7, std 1 1 1, BGR (of --mean, --std, --bgr" in printed
