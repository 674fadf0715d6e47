"""PSPNet: pyramid pooling on a dilated ResNet-50, output stride 8 (Zhao et al., arXiv 1612.01105)."""

_base_ = "mmseg::_base_/models/pspnet_r50-d8.py"
