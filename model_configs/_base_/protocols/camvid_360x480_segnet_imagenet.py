"""CamVid at 360x480 as the authors of SegNet train on it, from ImageNet weights as SegNet's VGG16 does."""

_base_ = "./camvid_360x480_segnet.py"

protocol = dict(pretraining="imagenet")
