"""CamVid at 360x480 as the authors of SegNet train on it: SGD at a fixed rate, rare classes weighted up.

Sources: Badrinarayanan et al., arXiv 1511.00561, section 3.2 and Table 1; for details, the authors' tutorial,
github.com/alexgkendall/SegNet-Tutorial, `Models/`.

From the paper: SGD with a fixed learning rate of 0.1 and a momentum of 0.9, batches of 12, no augmentation; the loss
weights a class by median frequency balancing. SegNet-Basic has no pre-training; SegNet itself, which starts from VGG16,
is trained with `camvid_360x480_segnet_imagenet`.

From the tutorial: the weights in its prototxt, and a weight decay of 5e-4.

Chosen here: 10,000 iterations; the paper trains until the loss has converged.

Differences from the paper:
- The input is normalised by mean and deviation; theirs, by local contrast. SegNet-Basic has the tutorial's local
  response normalisation as its first layer.
- Testing uses the running statistics of batch normalisation, theirs are recomputed over the training images.
- Checkpoints are the last and the best by mIoU on val, theirs is the best by global accuracy on val.
"""

_base_ = "../camvid_360x480.py"

protocol = dict(
    class_weights=[0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614],
)
train_dataloader = dict(dataset=dict(batch_size=12))
optim_wrapper = dict(
    type="Float32OptimWrapper",
    optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = [dict(type="ConstantLR", factor=1.0, begin=0, end=1, by_epoch=False)]
train_cfg = dict(max_iters=10000, val_interval=1000)
