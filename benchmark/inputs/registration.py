"""Import the datasets, which registers them with mmsegmentation."""

from mmseg.registry import DATASETS

import benchmark.inputs.batches
import benchmark.inputs.mmseg_pipeline  # noqa: F401  (imported to register their classes)
from benchmark.datasets.camvid import CamVid, HalfCamVid
from benchmark.datasets.card import open_card
from benchmark.datasets.shapes import Shapes

for dataset in (CamVid, HalfCamVid, Shapes):
    DATASETS.register_module(module=dataset)
DATASETS.register_module(name="Card", module=open_card)
