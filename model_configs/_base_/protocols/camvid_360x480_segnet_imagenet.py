"""CamVid at 360x480 as the authors of SegNet train on it, from ImageNet weights: SegNet's own, for it starts from VGG16."""

_base_ = "./camvid_360x480_segnet.py"

protocol = dict(pretraining="imagenet")
