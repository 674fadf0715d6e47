"""The device that a command is given is the one that is computed on."""

import subprocess
import sys

import pytest
from mmengine.device import utils

from benchmark.cli import COMMANDS, build_parser
from benchmark.configs import compose
from benchmark.engine import device
from benchmark.engine.session import Session

ARGUMENTS = {
    "run": ["enet"],
    "plan": ["enet"],
    "train": ["enet"],
    "eval": ["enet", "--weights", "weights.pth"],
    "profile": ["enet"],
    "rerun": ["RESULT"],
    "predict": ["enet", __file__, "--weights", "weights.pth"],
    "doctor": ["--gpu"],
}
"""What a command needs to come as far as the choice of its device."""

SELECT = """
import sys
from benchmark.engine import device
from benchmark.errors import UserError

def select(name, count=1):
    raise UserError(f"selects {name}, mmengine imported: {'mmengine' in sys.modules}")

device.select = select
from benchmark.cli import main
sys.exit(main(sys.argv[1:]))
"""


def _options(command):
    (commands,) = (action for action in build_parser(command)._actions if action.dest == "command")
    return {option for action in commands.choices[command]._actions for option in action.option_strings}


def test_all_commands_with_a_device_are_tested_here():
    """`verify` hands it on to `run`."""
    assert {command for command in COMMANDS if "--device" in _options(command)} == {*ARGUMENTS, "verify"}


@pytest.mark.parametrize("command", ARGUMENTS)
def test_the_device_is_selected_before_mmengine_is_imported(command, store, make_record):
    """Which asks the driver for a device: from then on it is that one."""
    words = [str(store.add(*make_record())) if word == "RESULT" else word for word in ARGUMENTS[command]]
    command_line = [sys.executable, "-c", SELECT, command, *words, "--device", "cuda:0"]
    done = subprocess.run(command_line, capture_output=True, text=True, cwd=store.root.parent)
    assert done.stderr.splitlines()[-1] == "segbench: error: selects cuda:0, mmengine imported: False"


@pytest.mark.parametrize("choose", [device.use, device.select])
@pytest.mark.parametrize("found", ["mps", "cuda"])
def test_a_session_computes_on_the_device_asked_for(tmp_path, monkeypatch, choose, found):
    """Whatever mmengine found when it was imported."""
    monkeypatch.setattr(utils, "DEVICE", found)
    choose("cpu")
    session = Session(compose.compose("enet", "shapes_64x64_smoke", max_iters=1, deterministic=True), tmp_path)
    assert {weight.device.type for weight in session.runner.model.parameters()} == {"cpu"}
    assert session.train().iterations == 1
