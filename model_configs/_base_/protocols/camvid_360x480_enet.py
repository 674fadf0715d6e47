"""CamVid at 360x480 as the authors of ENet train on it: the encoder first, then all, with rare classes weighted up.

Sources: Paszke et al., arXiv 1606.02147, section 5; for details, github.com/e-lab/ENet-training, `train/`.

From the paper: Adam, learning rate 5e-4, weight decay 2e-4, batches of 10, no pre-training; the encoder is trained
alone, then with the decoder; the loss weights a class by 1/ln(1.02 + p).

p is the share of the class among all pixels of the 367 training labels, including void; void has weight 0.

From the code: the encoder is trained with a 1x1 classifier on labels subsampled by 8 (Torch's `simple` scaling). Images
have values from 0 to 1 and are neither normalised further nor augmented.

Chosen here: 300 epochs per stage, the default of the code, with a tenth of the learning rate after each 100, the
documented meaning of its options. (The default itself multiplies by 1e-7, which ends the training after 100.) The
second stage begins with the last weights of the first.

Differences from the code:
- Its networks have a twelfth output, for void, which the paper excludes from the evaluation. Here there are 11: if void
  has weight 0, a twelfth only learns to be unlikely.
- It weights classes by 1/ln(1.2 + p) in the first stage; and in the second it sets the weight of void to 0, but then
  overwrites it.
- It drops the last seven images of an epoch, which do not fill a batch.
"""

_base_ = ["../camvid_360x480.py", "../schedules/adam_steps.py"]

protocol = dict(
    class_weights=[5.7920, 4.4403, 34.0217, 3.4469, 15.9119, 9.0202, 32.0138, 32.4789, 13.2071, 38.3877, 44.1345],
)
first_stage = dict()  # only the network differs
data_preprocessor = dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0])
train_dataloader = dict(dataset=dict(batch_size=10))
optim_wrapper = dict(optimizer=dict(lr=5e-4, weight_decay=2e-4))
param_scheduler = [dict(step, start_factor=0.1, end_factor=0.1) for step in _base_.param_scheduler]
train_cfg = dict(max_iters=11010, val_interval=1101)  # 300 epochs of 367 / 10
