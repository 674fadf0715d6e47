"""CamVid with the 11 classes and the splits of SegNet at half its size: 180x240."""

_base_ = "./camvid.py"

protocol = dict(dataset="camvid_180x240")
train_dataloader = dict(dataset=dict(source=dict(type="HalfCamVid")))
val_dataloader = dict(dataset=dict(source=dict(type="HalfCamVid")))
test_dataloader = val_dataloader
