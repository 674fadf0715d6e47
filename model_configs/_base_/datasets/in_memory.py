"""What datasets share whose images are of one size and fit into memory, see `benchmark.inputs.batches`."""

_base_ = "./loaders.py"

train_dataloader = dict(num_workers=0, dataset=dict(type="TrainingBatches", source=dict(split="train")))
val_dataloader = dict(num_workers=0, dataset=dict(type="EvaluationImages", source=dict(split="val")))
test_dataloader = dict(num_workers=0, dataset=dict(type="EvaluationImages", source=dict(split="test")))
