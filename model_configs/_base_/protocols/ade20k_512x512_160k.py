"""ADE20K, crops of 512x512, 160k iterations of 16 images: mmsegmentation's schedule of that name."""

_base_ = "./ade20k_512x512_80k.py"

train_cfg = dict(max_iters=160000, val_interval=16000)
