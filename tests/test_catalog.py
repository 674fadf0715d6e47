"""What exists, and what is said of what does not."""

import subprocess
import sys

import pytest

from benchmark import catalog
from benchmark.errors import UserError

FIRST_TEN = {
    "fcn_r50-d8",
    "pspnet_r50-d8",
    "pspnet_r101-d8",
    "deeplabv3_r50-d8",
    "deeplabv3_r101-d8",
    "psanet_r50-d8",
    "psanet_r101-d8",
    "unet-s5-d16",
    "pointrend_fpn_r50",
    "enet",
}


def test_architectures():
    assert set(catalog.architectures()) >= FIRST_TEN
    assert catalog.architecture("enet").method == "enet"


def test_every_architecture_and_protocol_says_what_it_is():
    for entry in [*catalog.architectures().values(), *catalog.protocols().values()]:
        assert len(entry.summary) > 10, entry.path


def test_every_method_has_a_metafile():
    assert {a.method for a in catalog.architectures().values()} == set(catalog.methods())


def test_protocols():
    assert {"shapes_64x64_smoke", "camvid_360x480_scratch"} <= set(catalog.protocols())


def test_references_name_architectures_and_have_sources():
    for reference in catalog.references().values():
        assert reference.architecture in catalog.architectures(), reference.name
        assert reference.source.locator, reference.name


def test_the_zoo_of_mmsegmentation():
    assert len(catalog.zoo()) > 500
    entry = catalog.architecture("mmseg:segformer_mit-b0_8xb1-160k_cityscapes-1024x1024")
    assert entry.method == "segformer"


@pytest.mark.parametrize(
    ("lookup", "name", "hint"),
    [
        (catalog.architecture, "psnet_r50-d8", "pspnet_r50-d8"),
        (catalog.architecture, "mmseg:segformer_mit-b0", "mmseg:segformer_mit-b0_"),
        (catalog.protocol, "camvid", "camvid_360x480_scratch"),
        (catalog.architecture, "zzz", "segbench list architectures"),
    ],
)
def test_an_unknown_name_gets_a_hint(lookup, name, hint):
    with pytest.raises(UserError, match=f"unknown .* '{name}'") as caught:
        lookup(name)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_help_and_listings_import_nothing_heavy():
    """They answer in a fraction of a second because nothing of this is imported."""
    for words in (["--help"], ["list"], ["list", "references"]):
        code = (
            "import sys; from benchmark.cli import main\n"
            "try: main(sys.argv[1:])\n"
            "except SystemExit: pass\n"
            "heavy = {'torch', 'numpy', 'pandas', 'cv2', 'matplotlib', 'mmengine', 'pydantic', 'rich'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.DEVNULL)
