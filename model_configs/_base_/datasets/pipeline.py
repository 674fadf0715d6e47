"""Settings of datasets read by mmsegmentation's own classes and pipelines, see `benchmark.inputs.mmseg_pipeline`."""

train_dataloader = dict(
    batch_size=None,
    num_workers=8,
    prefetch_factor=2,
    pin_memory=True,
    sampler=dict(type="IterationSampler"),
    collate_fn=dict(type="whole_batch"),
    dataset=dict(type="PipelineBatches"),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="PipelineImages"),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ConfusionMetric")
test_evaluator = dict(type="ConfusionMetric")
