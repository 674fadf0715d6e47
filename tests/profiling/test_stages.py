import importlib.util
import json
from pathlib import Path

import pytest
from torch import nn

from benchmark.catalog import catalog
from benchmark.catalog.stages import CLASSES, SIZE, TABLE, breakdown
from benchmark.configs import compose
from benchmark.profiling import complexity
from benchmark.profiling.stages import ITSELF, LIMIT, OTHER, stages


@pytest.mark.parametrize("architecture", ["enet", "pspnet_r50-d8", "pointrend_fpn_r50", "liteseg_shufflenet"])
def test_stages_add_up_to_the_network(architecture):
    config = compose.model_config(architecture, classes=CLASSES)
    found = stages(config, SIZE)
    whole = complexity.tally(config, SIZE)
    assert sum(stage.params for stage in found) == whole.params
    assert sum(stage.macs for stage in found) == whole.macs
    assert 1 < len(found) <= LIMIT
    assert len({stage.name for stage in found}) == len(found)


def test_stages_of_a_resnet_are_those_of_the_paper_in_order():
    found = stages(compose.model_config("pspnet_r50-d8", classes=21), (512, 512))
    names = ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert [stage.name for stage in found] == [*(f"backbone.{name}" for name in names), "decode_head"]
    assert found[1].output == (256, 128, 128)
    assert found[1].params == 215_808  # three bottlenecks of 64 channels, torchvision's layer1
    assert found[-1].output == (21, 64, 64)


def test_parameters_of_a_module_with_children_are_its_own_stage():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.position = nn.Parameter(nn.init.zeros_(nn.Parameter(nn.Conv2d(3, 8, 1).weight)))
            self.block = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1))

        def forward(self, images):
            return [nn.functional.conv2d(images, self.position) + self.block(images)]

    from mmseg.registry import MODELS

    MODELS.register_module(name="TwoPaths", module=Network, force=True)
    head = {"type": "FCNHead", "in_channels": 8, "channels": 4, "num_classes": 2, "num_convs": 1, "concat_input": False}
    found = {stage.name: stage for stage in stages(_segmentor({"type": "TwoPaths"}, head), (64, 64))}
    own = found[f"backbone{ITSELF}"]
    assert (own.params, own.macs) == (24, 24 * 64 * 64)
    assert found["backbone.block.0"].output == (8, 64, 64)
    assert OTHER not in found


def _segmentor(backbone, head):
    return {
        "type": "EncoderDecoder",
        "data_preprocessor": None,
        "backbone": backbone,
        "decode_head": {**head, "align_corners": False, "loss_decode": {"type": "CrossEntropyLoss"}},
        "train_cfg": {},
        "test_cfg": {"mode": "whole"},
    }


def test_the_stored_table_is_what_is_counted():
    stored = json.loads(TABLE.read_text(encoding="utf-8"))
    assert set(stored) == {name for name, each in catalog.architectures().items() if each.kind is None}
    path = Path(__file__).parents[2] / "experiments" / "stages.py"
    spec = importlib.util.spec_from_file_location("count_stages", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    few = ["enet", "espnet", "fcn-8s_vgg16", "unet"]
    assert json.loads(script.table(few)) == {name: stored[name] for name in few}
    assert breakdown("enet").share(breakdown("enet").stages[-1], "params") == pytest.approx(100 * 25_635 / 363_791)
    assert breakdown("mmseg:bisenetv1") is None
