"""CamVid with the 11 classes and the splits of SegNet: 367 train, 101 val and 233 test images of 360x480."""

_base_ = "./in_memory.py"

protocol = dict(dataset="camvid")
train_dataloader = dict(dataset=dict(source=dict(type="CamVid")))
val_dataloader = dict(dataset=dict(source=dict(type="CamVid")))
test_dataloader = val_dataloader
