"""The commands of docs/your-weights.md work as they stand there."""

import re
from pathlib import Path

import torch
from PIL import Image

from benchmark.configs import compose
from benchmark.engine import segmentor
from benchmark.weights import checkpoint

CGNET = "mmseg:cgnet_fcn_4xb4-60k_cityscapes-680x680"


def weights(architecture):
    torch.manual_seed(0)
    return segmentor.build(compose.model_config(architecture, classes=8)).state_dict()


def named(name):
    """Return a name as the map of the page takes it."""
    name = name.replace("decode_head.conv_seg", "net.head").replace("backbone.", "net.")
    return re.sub(r"stage(\d)", lambda match: f"down{int(match[1]) - 1}", name)


def test_every_command_of_the_page(page, capsys):
    Path("map.txt").write_text(page.block("# map"))
    enet = weights("enet")
    torch.save({f"x{index}": tensor for index, tensor in enumerate(enet.values())}, "theirs.pth")
    torch.save({named(name): tensor for name, tensor in enet.items()} | {"aux.weight": torch.zeros(3)}, "named.pth")
    torch.save({"meta": {}, "state_dict": weights(CGNET)}, "cgnet.pth")
    Image.new("RGB", (80, 60), (90, 120, 150)).save("photo.png")
    assert len(page.commands) == 6
    for command in page.commands:
        page.run(command)
        if command.startswith("segbench import "):
            imported = checkpoint.read(Path("enet.pth")).state
            assert all(torch.equal(imported[name], enet[name]) for name in enet)
    assert Path("predictions/overlays/photo.png").is_file()
    printed = capsys.readouterr().out
    assert "left out by the map: aux.weight" in printed
    assert "normalisation: mean 103.5 116.3 123.7, std 1 1 1, BGR (of --mean, --std, --bgr" in printed
