"""What all datasets share: batches drawn by iteration, whole images evaluated in their order, void left out."""

protocol = dict(void="ignore")
train_dataloader = dict(
    batch_size=None,
    sampler=dict(type="IterationSampler"),
    collate_fn=dict(type="whole_batch"),
)
val_dataloader = dict(
    batch_size=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ConfusionMetric")
test_evaluator = dict(type="ConfusionMetric")
