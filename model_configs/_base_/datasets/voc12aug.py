"""VOC 2012 with 21 classes, its 1464 training images joined by 9118 of SBD; 1449 val images.

The ground truth of test is not public: val stands for it, as in mmsegmentation's configs.
"""

protocol = dict(dataset="voc12aug", void="ignore")
crop_size = (512, 512)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="Pad", size=crop_size),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(2048, 512), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=None,
    num_workers=8,
    prefetch_factor=2,
    pin_memory=True,
    sampler=dict(type="IterationSampler"),
    collate_fn=dict(type="whole_batch"),
    dataset=dict(
        type="PipelineBatches",
        crop_size=crop_size,
        dataset=dict(
            type="ConcatDataset",
            datasets=[
                dict(
                    type="PascalVOCDataset",
                    data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
                    ann_file="ImageSets/Segmentation/train.txt",
                    pipeline=train_pipeline,
                ),
                dict(
                    type="PascalVOCDataset",
                    data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClassAug"),
                    ann_file="ImageSets/Segmentation/aug.txt",
                    pipeline=train_pipeline,
                ),
            ],
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="PipelineImages",
        dataset=dict(
            type="PascalVOCDataset",
            data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
            ann_file="ImageSets/Segmentation/val.txt",
            pipeline=test_pipeline,
        ),
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ConfusionMetric")
test_evaluator = dict(type="ConfusionMetric")
