"""PSANet: point-wise spatial attention on a dilated ResNet-50, output stride 8 (Zhao et al., ECCV 2018)."""

_base_ = "mmseg::_base_/models/psanet_r50-d8.py"
