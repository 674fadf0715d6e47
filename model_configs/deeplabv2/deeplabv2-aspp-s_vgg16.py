"""DeepLab v2 ASPP-S: ASPP-L with the smaller rates 2 to 12 (Chen et al., arXiv 1606.00915, Table 3)."""

_base_ = "./deeplabv2-aspp-l_vgg16.py"

model = dict(backbone=dict(rates=(2, 4, 8, 12)))
