"""VOC 2012 with 21 classes, its 1464 training images joined by 9118 of SBD; 1449 val images.

The ground truth of test is not public: val is used instead, as in mmsegmentation's configs.
"""

_base_ = "./pipeline.py"

protocol = dict(dataset="voc12aug")
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
    dataset=dict(
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
    dataset=dict(
        dataset=dict(
            type="PascalVOCDataset",
            data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
            ann_file="ImageSets/Segmentation/val.txt",
            pipeline=test_pipeline,
        ),
    ),
)
test_dataloader = val_dataloader
