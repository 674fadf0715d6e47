"""PSANet: point-wise spatial attention on a dilated ResNet-50, output stride 8 (Zhao et al., ECCV 2018).

The projection of the attended features is the authors', without padding. mmsegmentation's, which pads it, is
`mmseg:psanet_r50-d8_4xb2-80k_cityscapes-512x1024`: the weights and figures of its zoo are of that network.
"""

_base_ = "mmseg::_base_/models/psanet_r50-d8.py"

model = dict(decode_head=dict(type="PSANetHead"))
