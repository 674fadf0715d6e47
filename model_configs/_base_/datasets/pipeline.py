"""Settings of datasets read by mmsegmentation's own classes and pipelines, see `benchmark.inputs.mmseg_pipeline`."""

_base_ = "./loaders.py"

train_dataloader = dict(num_workers=8, prefetch_factor=2, pin_memory=True, dataset=dict(type="PipelineBatches"))
val_dataloader = dict(num_workers=4, dataset=dict(type="PipelineImages"))
test_dataloader = val_dataloader
