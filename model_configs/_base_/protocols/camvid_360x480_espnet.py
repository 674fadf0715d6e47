"""CamVid at 360x480 as the authors of ESPNet train and evaluate on it: void is a class of its own, and an error.

Source: github.com/sacmehta/ESPNet, `train/`; for CamVid they used "the same code and procedure" (issue #45) at 480x360.

Networks have an additional last output for void; the prediction is the highest score including void. A pixel of void
ground truth is a false positive of its predicted class: the released weights give the published 55.64 mIoU under this
rule, but not under the usual one.

Images are normalised in OpenCV's order, BGR, with mean and deviation of the authors, and then divided by 255, here by
deviations 255 times as large.

ESPNet-C is trained alone, in batches of 12, on labels subsampled by 8; then with the decoder, in batches of 6, for the
same number of epochs. The loss weights a class by 1/ln(1.10 + p), with p its share of the pixels of the 367 training
labels; void is weighted like any other. The second stage begins with the last weights of the
first, which the authors do not state.

Differences from their training:
- Their batches have two or four images more at the three smaller sizes.
- Their epoch contains the images at five sizes, half to one and a half times the evaluated size. Here, too, an epoch
  is five times the 367 images, but all are crops of 360x480 from images enlarged by up to one and a half: smaller ones
  would need padding with void, which is a class.
- Their flip is vertical, although its comment says horizontal. Here it is horizontal.
"""

_base_ = ["../camvid_360x480.py", "../schedules/adam_steps.py"]

protocol = dict(
    void="false_positive",
    void_output=True,
    class_weights=[4.2053, 3.4828, 9.5964, 2.8715, 7.3918, 5.5550, 9.4414, 9.4785, 6.7906, 9.8908, 10.2084, 7.6584],
)
first_stage = dict(
    train_dataloader=dict(dataset=dict(batch_size=12)),
    train_cfg=dict(max_iters=45900, val_interval=4590),  # 300 epochs of 5 x 367 / 12
)
data_preprocessor = dict(
    mean=[110.33102643, 108.40886315, 105.03319369],
    std=[255 * 72.12571015, 255 * 72.69074534, 255 * 69.90434816],
    rgb_to_bgr=True,
)
train_dataloader = dict(dataset=dict(batch_size=6, augmentation=dict(scale=(1.0, 1.5), flip=0.5)))
optim_wrapper = dict(optimizer=dict(lr=5e-4, weight_decay=5e-4))
param_scheduler = [dict(step, start_factor=0.5, end_factor=0.5) for step in _base_.param_scheduler]
train_cfg = dict(max_iters=91800, val_interval=9180)  # 300 epochs of 5 x 367 / 6
