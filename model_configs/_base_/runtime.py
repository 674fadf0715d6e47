"""Settings shared by all protocols that do not change results: registration, loops, hooks, logging."""

custom_imports = dict(imports=["benchmark.registration"], allow_failed_imports=False)
default_scope = "mmseg"
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
default_hooks = dict(
    runtime_info=None,
    timer=None,
    logger=None,
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=None,
    sampler_seed=None,
)
custom_hooks = [dict(type="LossHook", interval=50), dict(type="WeightsHook"), dict(type="ResumeHook")]
val_cfg = dict(type="LeanValLoop")
test_cfg = dict(type="LeanTestLoop")
log_processor = dict(by_epoch=False)
log_level = "INFO"
load_from = None
resume = False
