import pytest

from benchmark.catalog import catalog
from benchmark.reporting.backbone import NONE, backbone


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("pspnet_r50-d8", "ResNet-50"),
        ("fcn-8s_vgg16", "VGG-16"),
        ("pointrend_deeplabv3_r50", "ResNet-50"),
        ("liteseg_mobilenetv2", "MobileNetV2"),
        ("unet-s5-d16", NONE),
        ("enet", NONE),
        ("mmseg:segformer_mit-b0_8xb1-160k_cityscapes-1024x1024", "MiT-b0"),
        ("mmseg:mobilenet-v2-d8_fcn_4xb4-160k_ade20k-512x512", "MobileNetV2"),
        ("mmseg:fcn_r50b-d8_4xb2-80k_cityscapes-512x1024", "ResNet-50"),
        ("mmseg:fcn_hr18s_4xb4-40k_pascal-context-480x480", "HRNet-18s"),
        ("mmseg:unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024", NONE),
        ("smp:Unet/resnet34", "ResNet-34"),
        ("smp:Unet/mobilenet_v2(encoder_depth=3)", "MobileNetV2"),
        ("timm:convnext_tiny+ppm", "ConvNeXt"),
        ("torchvision:deeplabv3_resnet101", "ResNet-101"),
        ("hf:segformer", NONE),
        ("mine", NONE),
        ("", NONE),
    ],
)
def test_backbone_is_in_the_name(architecture, expected):
    assert backbone(architecture) == expected


def test_every_name_of_ours_with_a_backbone_is_known():
    unknown = [name for name in catalog.architectures() if "_" in name and backbone(name) == NONE]
    assert unknown == ["efficientdet-seg_d0", "efficientdet-seg_d4"]
