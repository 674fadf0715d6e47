"""VOC 2012 with SBD, crops of 512x512, 20k iterations of 16 images: mmsegmentation's schedule of that name."""

_base_ = "./voc12aug_512x512_40k.py"

train_cfg = dict(max_iters=20000, val_interval=2000)
