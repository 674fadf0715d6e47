"""CamVid at 360x480 as the authors of ENet train on it: the encoder first, then all, with rare classes weighted up.

Source: Paszke et al., arXiv 1606.02147, section 5; what it leaves open, github.com/e-lab/ENet-training, `train/`.

Of the paper: Adam, learning rate 5e-4, weight decay 2e-4, batches of 10, no pre-training; the encoder learns alone,
then with the decoder; the loss weights a class by 1/ln(1.02 + p).

p is the share of the class among all pixels of the 367 training labels, void among them; void itself weighs nothing.

Of the code: the encoder learns under a 1x1 classifier against labels reduced by 8, of which every eighth pixel stays
(Torch's `simple` scaling). Images have values from 0 to 1 and are not normalised any further, nor augmented at all.

Chosen here: 300 epochs a stage, the default of the code, with a tenth of the learning rate after each 100, which is
what its options are said to mean. (The default itself multiplies by 1e-7, which ends the training after 100.) The
second stage begins with the last weights of the first.

What differs from the code:
- Its networks have a twelfth output, for void, which the paper leaves out of the evaluation. Here there are 11: where
  void weighs nothing, a twelfth is only ever learned to be unlikely.
- It weights classes by 1/ln(1.2 + p) in the first stage; and in the second it sets the weight of void to 0, but then
  overwrites it.
- It drops the last seven images of an epoch, which make no batch.
"""

_base_ = ["../camvid_360x480.py", "../schedules/adam_steps.py"]

protocol = dict(
    class_weights=[5.7920, 4.4403, 34.0217, 3.4469, 15.9119, 9.0202, 32.0138, 32.4789, 13.2071, 38.3877, 44.1345],
)
first_stage = dict()  # nothing but the network is otherwise
data_preprocessor = dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0])
train_dataloader = dict(dataset=dict(batch_size=10))
optim_wrapper = dict(optimizer=dict(lr=5e-4, weight_decay=2e-4))
param_scheduler = [dict(step, start_factor=0.1, end_factor=0.1) for step in _base_.param_scheduler]
train_cfg = dict(max_iters=11010, val_interval=1101)  # 300 epochs of 367 / 10
