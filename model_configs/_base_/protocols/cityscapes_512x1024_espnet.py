"""Cityscapes at half its size as the authors of ESPNet train and evaluate it in two stages: void is a class.

As `cityscapes_512x1024_espnet-c`, which is the first stage: then all learns with the decoder, in batches of 6, for as
many epochs again. The second stage begins with the last weights of the first, which the authors do not state.
"""

_base_ = "./cityscapes_512x1024_espnet-c.py"

first_stage = dict(
    train_dataloader=dict(dataset=dict(batch_size=12)),
    train_cfg=dict(max_iters=371875, val_interval=37188),  # 300 epochs of 5 x 2975 / 12
)
train_dataloader = dict(dataset=dict(batch_size=6))
train_cfg = dict(max_iters=743750, val_interval=74375)  # 300 epochs of 5 x 2975 / 6
