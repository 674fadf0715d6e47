"""CamVid at its full 360x480 as in camvid_360x480_scratch, from ImageNet weights where an architecture names some."""

_base_ = "./camvid_360x480_scratch.py"

protocol = dict(pretraining="imagenet")
