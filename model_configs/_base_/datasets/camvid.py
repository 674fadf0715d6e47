"""CamVid with the 11 classes and the splits of SegNet: 367 train, 101 val and 233 test images of 360x480."""

protocol = dict(dataset="camvid", void="ignore")
train_dataloader = dict(
    batch_size=None,
    num_workers=0,
    sampler=dict(type="IterationSampler"),
    collate_fn=dict(type="whole_batch"),
    dataset=dict(type="TrainingBatches", source=dict(type="CamVid", split="train")),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="EvaluationImages", source=dict(type="CamVid", split="val")),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="EvaluationImages", source=dict(type="CamVid", split="test")),
)
val_evaluator = dict(type="ConfusionMetric")
test_evaluator = dict(type="ConfusionMetric")
