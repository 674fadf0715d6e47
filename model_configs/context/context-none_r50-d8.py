"""Context modules compared: none, the last layers directly on the dilated ResNet-50."""

_base_ = "../_base_/models/context_r50-d8.py"

model = dict(decode_head=dict(type="FCNHead", num_convs=1, concat_input=False))
