"""The embedded dataset: drawn scenes with exact labels, generated on the fly without files."""

protocol = dict(dataset="shapes", void="ignore")
train_dataloader = dict(
    batch_size=None,
    num_workers=0,
    sampler=dict(type="IterationSampler"),
    collate_fn=dict(type="whole_batch"),
    dataset=dict(type="TrainingBatches", source=dict(type="Shapes", split="train")),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="EvaluationImages", source=dict(type="Shapes", split="val")),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="EvaluationImages", source=dict(type="Shapes", split="test")),
)
val_evaluator = dict(type="ConfusionMetric")
test_evaluator = dict(type="ConfusionMetric")
