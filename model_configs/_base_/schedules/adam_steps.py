"""Adam over 300 epochs, whose learning rate is multiplied by a factor after 100 and again after 200.

A protocol sets the learning rate, the weight decay and the factor. Steps are in epochs, which compose stretches to the
iterations: each multiplies the learning rate where it begins, and leaves it so.
"""

optim_wrapper = dict(
    type="Float32OptimWrapper",
    optimizer=dict(type="Adam", betas=(0.9, 0.999), eps=1e-8),
)
param_scheduler = [
    dict(type="LinearLR", begin=100, end=200, by_epoch=False),
    dict(type="LinearLR", begin=200, end=300, by_epoch=False),
]
