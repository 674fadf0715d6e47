"""The backbone of an architecture, by its name."""

from __future__ import annotations

import re

from benchmark.catalog.catalog import ZOO_PREFIX

NONE = "none of its own"
"""Of networks without a backbone that other networks share, such as ENet and U-Net."""

FAMILIES = {
    r"(?:r|resnet)-?(\d+)(?:[bs]|v1[bcd])?(?:-d\d+.*)?": r"ResNet-\1",
    r"(?:x|resnext)-?(\d+).*": r"ResNeXt-\1",
    r"(?:s|resnest)-?(50|101|200).*": r"ResNeSt-\1",
    r"(?:hr|hrnet)-?(w?\d+s?).*": r"HRNet-\1",
    r"vgg-?(\d+).*": r"VGG-\1",
    r"darknet-?(\d+)": r"Darknet-\1",
    r"m(?:obilenet)?[-_]?v(\d).*": r"MobileNetV\1",
    r"shufflenet.*": "ShuffleNet",
    r"mit-?(b\d).*": r"MiT-\1",
    r"(?:vit|deit|san-vit).*": "ViT",
    r"swin.*": "Swin",
    r"beit.*": "BEiT",
    r"mae.*": "MAE",
    r"convnext.*": "ConvNeXt",
    r"efficientnet.*": "EfficientNet",
    r"mscan.*": "MSCAN",
    r"(?:pcpvt|svt).*": "Twins",
    r"poolformer.*": "PoolFormer",
    r"stdc-?(\d).*": r"STDC-\1",
}
"""Names of backbones in the names of architectures, and what they are called."""


def backbone(architecture: str) -> str:
    """Return the backbone of an architecture without its output stride; `NONE` if its name has none.

    Names are those of the suite and of mmsegmentation (`pspnet_r50-d8`), or of libraries (`smp:Unet/resnet34`,
    `timm:convnext_tiny+ppm`, `torchvision:deeplabv3_resnet50`).
    """
    library, _, name = architecture.rpartition(":")
    if library == "smp":
        parts = [name.partition("/")[2].partition("(")[0]]
    elif library == "timm":
        parts = [name.partition("+")[0]]
    else:
        components = re.split(r"_\d+xb\d+", name)[0] if f"{library}:" == ZOO_PREFIX else name
        method, *others = components.split("_")
        parts = ["_".join(others), *others, method]  # most names have the method first
    for part in parts:
        for form, family in FAMILIES.items():
            if found := re.fullmatch(form, part):
                return found.expand(family)
    return NONE
