"""What every protocol shares and no number depends on: registration, loops, hooks, logging.

The default hooks and the visualizer are for mmengine's own Runner; `segbench run` does without them.
"""

custom_imports = dict(imports=["benchmark.registration"], allow_failed_imports=False)
default_scope = "mmseg"
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
default_hooks = dict(
    runtime_info=dict(type="RuntimeInfoHook"),
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", by_epoch=False),
    sampler_seed=None,  # batches depend on the seed and the iteration alone
    visualization=dict(type="BatchVisualizationHook"),
)
visualizer = dict(type="SegLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")])
custom_hooks = [dict(type="LossHook", interval=50), dict(type="WeightsHook"), dict(type="ResumeHook")]
val_cfg = dict(type="LeanValLoop")
test_cfg = dict(type="LeanTestLoop")
log_processor = dict(by_epoch=False)
log_level = "INFO"
load_from = None
resume = False
