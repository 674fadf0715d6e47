"""AdamW with the poly schedule of DeepLab (lr x (1 - i / n)^0.9), without warm-up."""

optim_wrapper = dict(
    type="Float32OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-4),
)
param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=0.0, begin=0, end=1, by_epoch=False)]
