"""Cityscapes at half its size as the authors of ESPNet train and evaluate its encoder, ESPNet-C: void is a class.

Source: github.com/sacmehta/ESPNet, `train/` and `test/VisualizeResults.py`; issue #9 for the evaluation of the released
weights on val.

Networks see images of 512x1024 and have one output more than there are classes, the last of them void. Labels are
predicted at 512x1024 and enlarged by two to the nearest, and pixels of void ground truth are ignored, as in the
benchmark's own scripts. Scores are enlarged with aligned corners, as PyTorch did before 0.4.

Images are normalised as OpenCV reads them, blue first, with mean and deviation of the authors, and then divided by 255,
which is done here by deviations 255 times as large.

A class weighs 1/ln(1.10 + p) in the loss, p its share of the pixels of the training labels; void is weighted like any
other. The authors compute the weights and do not print them. These are those of ERFNet's decoder, which have the same
formula (github.com/Eromera/erfnet_pytorch, `train/main.py`); the share of void is what the other shares leave.

What differs from their training:
- Their batches hold two or four images more at the three smaller sizes.
- Their epoch goes through the images at five sizes, half to one and a half times the size that is evaluated. Here, too,
  an epoch is five times the 2975 images, but all are crops of 512x1024 from images enlarged by up to one and a half:
  smaller ones would have to be filled up with void, which is a class.
- Their flip is vertical, where the comment beside it says horizontal. Here it is horizontal.
"""

_base_ = ["../datasets/cityscapes_half.py", "../normalisation.py", "../runtime.py"]

protocol = dict(
    size=(512, 1024),
    inference=dict(mode="whole", resized="labels"),
    pretraining=None,
    keep_weights=True,
    threads=None,  # of a run on a CPU: all cores
    void_output=True,
    crop_dependent=dict(align_corners=True),
    class_weights=[
        2.8149,
        6.9850,
        3.7890,
        9.9428,
        9.7702,
        9.5111,
        10.3114,
        10.0265,
        4.6323,
        9.5608,
        7.8698,
        9.5169,
        10.3737,
        6.6616,
        10.2605,
        10.2879,
        10.2898,
        10.4054,
        10.1381,
        5.1427,
    ],
)
data_preprocessor = dict(
    mean=[72.3923111, 82.90893555, 73.15840149],
    std=[255 * 45.3192215, 255 * 46.15289307, 255 * 44.91483307],
    rgb_to_bgr=True,
)
train_dataloader = dict(dataset=dict(batch_size=12))
optim_wrapper = dict(
    type="Float32OptimWrapper",
    optimizer=dict(type="Adam", lr=5e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=5e-4),
)
# In epochs, which compose stretches to the iterations: each halves the learning rate where it begins, and leaves it so.
param_scheduler = [
    dict(type="LinearLR", start_factor=0.5, end_factor=0.5, begin=100, end=200, by_epoch=False),
    dict(type="LinearLR", start_factor=0.5, end_factor=0.5, begin=200, end=300, by_epoch=False),
]
train_cfg = dict(type="StatelessTrainLoop", max_iters=371875, val_interval=37188)  # 300 epochs of 5 x 2975 / 12
