"""CamVid at 360x480 as the authors of ESPNet train and evaluate on it: void is a class of its own, and an error.

Source: github.com/sacmehta/ESPNet, `train/`; for CamVid they used "the same code and procedure" (issue #45) at 480x360.

Networks have one output more than there are classes, the last of them void; the highest score wins over all of them. A
pixel of void ground truth counts as a false positive of the class predicted there: under this rule, and not under the
usual one, the released weights give the published 55.64 mIoU.

Images are normalised as OpenCV reads them, blue first, with mean and deviation of the authors, and then divided by 255,
which is done here by deviations 255 times as large.

What differs from their training:
- One stage instead of two: they train ESPNet-C by itself at an eighth of the size in batches of 12, then all with the
  decoder, for as long again, in batches of 6 for the sake of memory. Here it is 12.
- No weights in the loss; theirs are 1/ln(1.10 + p).
- Their epoch goes through the images at five sizes, half to one and a half times the size that is evaluated. Here, too,
  an epoch is five times the 367 images, but all are crops of 360x480 from images enlarged by up to one and a half:
  smaller ones would have to be filled up with void, which is a class.
- Their flip is vertical, where the comment beside it says horizontal. Here it is horizontal.
"""

_base_ = ["../datasets/camvid.py", "../normalisation.py", "../runtime.py"]

protocol = dict(
    size=(360, 480),
    inference=dict(mode="whole"),
    pretraining=None,
    keep_weights=True,
    threads=None,  # of a run on a CPU: all cores
    void="false_positive",
    void_output=True,
)
data_preprocessor = dict(
    mean=[110.33102643, 108.40886315, 105.03319369],
    std=[255 * 72.12571015, 255 * 72.69074534, 255 * 69.90434816],
    rgb_to_bgr=True,
)
train_dataloader = dict(
    dataset=dict(
        batch_size=12,
        augmentation=dict(crop_size=(360, 480), scale=(1.0, 1.5), cat_max_ratio=1.0, flip=0.5, photometric=False),
    )
)
optim_wrapper = dict(
    type="Float32OptimWrapper",
    optimizer=dict(type="Adam", lr=5e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=5e-4),
)
# In epochs, which compose stretches to the iterations: each halves the learning rate where it begins, and leaves it so.
param_scheduler = [
    dict(type="LinearLR", start_factor=0.5, end_factor=0.5, begin=100, end=200, by_epoch=False),
    dict(type="LinearLR", start_factor=0.5, end_factor=0.5, begin=200, end=300, by_epoch=False),
]
train_cfg = dict(type="StatelessTrainLoop", max_iters=45900, val_interval=4590)  # 300 epochs of 5 x 367 / 12
