"""The embedded dataset: drawn scenes with exact labels, generated on the fly without files."""

_base_ = "./in_memory.py"

protocol = dict(dataset="shapes")
train_dataloader = dict(dataset=dict(source=dict(type="Shapes")))
val_dataloader = dict(batch_size=32, dataset=dict(source=dict(type="Shapes")))
test_dataloader = val_dataloader
