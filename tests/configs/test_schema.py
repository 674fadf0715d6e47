"""Protocol files of a user: what is read, and the one line of each fault, with file and key."""

from __future__ import annotations

import re

import pytest

from benchmark.catalog import catalog
from benchmark.configs import compose, schema
from benchmark.configs.axes import axes_of
from benchmark.errors import UserError

BASE = '_base_ = "segbench::_base_/protocols/shapes_64x64_smoke.py"\n'
FACTS = 'size=(64, 64), inference=dict(mode="whole"), pretraining=None, keep_weights=False, threads=1, void="ignore"'

FAULTS = {
    "protocol = dict(": r":1: '\(' was never closed",
    "": r": protocol is missing: begin with _base_ = \"segbench::_base_/protocols/",
    '_base_ = "segbench::_base_/protocols/shapes_64x64.py"\n': r": there is no base .*: did you mean segbench::",
    f"protocol = dict({FACTS})": r": protocol\.dataset is missing: name ade20k, .* or the path of a dataset card",
    BASE + "train_cgf = dict(max_iters=3)": r": train_cgf: unknown key: did you mean train_cfg\?",
    BASE + "train_cfg = dict(max_iter=3)": r": train_cfg\.max_iter: unknown key: did you mean max_iters\?",
    BASE + "protocol = dict(sise=(3, 3))": r": protocol\.sise: unknown key: did you mean size\?",
    BASE + "model = dict(type='EncoderDecoder')": r": model: a protocol has no network",
    BASE + "train_cfg = 3": r": train_cfg: should be a dict, not 3",
    BASE + "train_cfg = dict(max_iters='3')": r": train_cfg\.max_iters: should be a whole number, not '3'",
    BASE + "train_cfg = dict(max_iters=True)": r": train_cfg\.max_iters: should be a whole number, not True",
    BASE + "train_cfg = dict(max_iters=0)": r": train_cfg\.max_iters: should be greater than or equal to 1, not 0",
    BASE + "train_dataloader = dict(batch_size=8)": r": train_dataloader\.batch_size: is set by .*dataset=dict",
    BASE + "protocol = dict(size=(64,))": r": protocol\.size: should be two numbers",
    BASE + "protocol = dict(size=64)": r": protocol\.size: should be two numbers, \(a, b\), not 64",
    BASE + "protocol = dict(inference=dict(mode='slide'))": r": protocol\.inference: crop_size and stride are for mode",
    BASE + "protocol = dict(void='no')": r": protocol\.void: should be 'ignore' or 'false_positive', not 'no'",
    BASE + "protocol = dict(dataset='camvit')": r": protocol\.dataset: no dataset 'camvit': name ade20k, ",
    BASE + "protocol = dict(dataset='camvid')": r": protocol\.dataset is 'camvid', but train_dataloader reads Shapes",
    BASE + "protocol = dict(dataset='no.yaml')": r": protocol\.dataset: there is no file /.*/no\.yaml",
    BASE + "protocol = dict(class_weights=[1, 2])": r": protocol\.class_weights: 2 weights for 8 outputs",
    BASE + "data_preprocessor = dict(std=[0, 1, 1])": r": data_preprocessor\.std\.0: should be greater than 0",
    BASE + "optim_wrapper = dict(type='AmpOptimWrapper')": r": optim_wrapper\.type: should be Float32OptimWrapper or",
    BASE + "optim_wrapper = dict(optimizer=dict(type='Nol'))": r": optim_wrapper\.optimizer\.type: there is no Nol",
    BASE + "optim_wrapper = dict(optimizer=dict(rate=1))": r": optim_wrapper\.optimizer\.rate: AdamW has no such",
    BASE
    + "optim_wrapper = dict(optimizer=dict(lr=float('nan')))": r": optim_wrapper\.optimizer\.lr: should be a finite",
    BASE + "optim_wrapper = dict(optimizer=dict(lr='0.1'))": r": optim_wrapper\.optimizer\.lr: should be a number, not",
    BASE + "optim_wrapper = dict(optimizer=dict(lr=10**400))": r": optim_wrapper\.optimizer\.lr: should be a finite",
    BASE
    + "optim_wrapper = dict(optimizer=dict(lr=-1.0))": r": optim_wrapper\.optimizer\.lr: .* greater than 0, not -1\.0",
    BASE + "optim_wrapper = dict(optimizer=dict(lr=0))": r": optim_wrapper\.optimizer\.lr: .* greater than 0, not 0",
    BASE + "optim_wrapper = dict(optimizer=dict(weight_decay=-1))": r": optim_wrapper\.optimizer\.type: AdamW refuses",
    BASE
    + "optim_wrapper = dict(optimizer=dict(amsgrad='no'))": r": optim_wrapper\.optimizer\.amsgrad: should be True or",
    BASE + "optim_wrapper = dict(clip_grad=dict(max_norm='a'))": r": optim_wrapper\.clip_grad: clip_grad_norm_ refuses",
    BASE
    + "optim_wrapper = dict(clip_grad=dict(_delete_=True))": r": optim_wrapper\.clip_grad: clip_grad_norm_ refuses",
    BASE
    + "optim_wrapper = dict(clip_grad=dict(type='L2'))": r": optim_wrapper\.clip_grad\.type: should be norm or value",
    BASE + "optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mul=0))": r": .*\.norm_decay_mul: .* norm_decay_mult",
    BASE
    + "optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(a=dict(lr_mul=1))))": r": .*\.a\.lr_mul: unknown key",
    BASE
    + "optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=1), paramwise_cfg=dict(bias_decay_mult=0))": (
        r": optim_wrapper: paramwise_cfg has a decay_mult: give the optimizer its weight_decay"
    ),
    BASE + "param_scheduler = [dict(type='StepLR', begin=0, end=1, by_epoch=False)]": r": .*\.0\.type: StepLR refuses",
    BASE + "param_scheduler = [dict(type='PolyLR', begin=2, end=1, by_epoch=False)]": r": .*\.0\.type: PolyLR refuses",
    BASE + "custom_hooks = [dict(type='A', b={float('inf')})]": r": custom_hooks\.0\.b\.0: should be a finite",
    "_base_ = 5": r": _base_ names files, as texts, and not 5",
    '_base_ = ""': r": _base_ names files, as texts, and not ''",
    '_base_ = "./"': r": _base_ names \./: .*: No such file",
    '_base_ = "mmseg::no.py"': r": there is no base mmseg::no\.py$",
    '_base_ = "nowhere::no.py"': r": there is no base nowhere::no\.py$",
    '_base_ = ["mine.py"]': r": is a base of itself",
    BASE + "param_scheduler = [dict(type='PolyLR', begin=0, end=1)]": r": param_scheduler\.0\.by_epoch is missing",
    BASE + "first_stage = dict(train_cfg=dict(max_iters=-1))": r": first_stage\.train_cfg\.max_iters: should",
    BASE + "1 / 0": r":2: ZeroDivisionError: division by zero",
    BASE + "raise SystemExit(0)": r":2: SystemExit",
    "import numpy\n" + BASE: r": has an import, which a config with `_base_` may not have",
}


@pytest.mark.parametrize("name", catalog.protocols())
def test_every_protocol_of_ours_is_sound(name):
    path = catalog.protocol(name).path
    config = compose.read(path)
    assert schema.check(config, path).train_cfg == config.train_cfg


@pytest.mark.parametrize(("text", "message"), FAULTS.items())
def test_a_fault_is_one_line_with_file_and_key(tmp_path, text, message):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        compose.read_protocol(str(file))
    assert re.match(re.escape(str(file)) + message, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text_or_has_no_base(tmp_path):
    file = tmp_path / "mine.py"
    file.write_bytes(BASE.encode() + b"# \xe4")
    with pytest.raises(UserError, match="is not UTF-8"):
        compose.read_protocol(str(file))
    file.write_text('_base_ = "other.py"')
    with pytest.raises(UserError, match=r"mine\.py: _base_ names other\.py: .*/other\.py: No such file"):
        compose.read_protocol(str(file))
    (tmp_path / "other.py").write_text('_base_ = "../gone.py"')
    with pytest.raises(UserError, match=r"/other\.py: _base_ names \.\./gone\.py: .*: No such file"):
        compose.read_protocol(str(file))
    (tmp_path / "other.py").write_text('_base_ = "mine.py"')
    with pytest.raises(UserError, match=r"/mine\.py: is a base of itself"):
        compose.read_protocol(str(file))


def test_variables_are_no_keys_and_are_not_kept(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(BASE + "rate = 0.5\noptim_wrapper = dict(optimizer=dict(lr=rate))\n")
    config = compose.compose("enet", str(file))
    assert config.optim_wrapper.optimizer.lr == 0.5
    assert "rate" not in config
    assert config.protocol.name == "mine"


def test_a_setting_of_the_base_is_left_out_by_none(tmp_path):
    (tmp_path / "weighted.py").write_text(BASE + "protocol = dict(class_weights=[1.0] * 8)\n")
    (tmp_path / "mine.py").write_text('_base_ = "weighted.py"\nprotocol = dict(class_weights=None)\n')
    assert "class_weights" not in compose.read_protocol(str(tmp_path / "mine.py")).protocol
    assert "class_weights" in compose.read_protocol(str(tmp_path / "weighted.py")).protocol


def test_the_name_is_an_axis_of_a_file_and_of_no_other_protocol(tmp_path):
    found = []
    for name in ("mine", "other"):
        (tmp_path / f"{name}.py").write_text(BASE)
        found.append(axes_of(compose.compose("enet", str(tmp_path / f"{name}.py")), ""))
    ours = axes_of(compose.compose("enet", "shapes_64x64_smoke"), "")
    assert [each.pop("name") for each in found] == ["mine", "other"]
    assert found == [ours, ours]
