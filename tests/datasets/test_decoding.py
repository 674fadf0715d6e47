"""The one reader of files: what it takes, to which pixels, and what it refuses."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmark.confusion import VOID
from benchmark.datasets.decoding import ANY_FORMAT, decode_image, decode_label, decode_values, orientation, size
from benchmark.errors import UserError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 20, 3), dtype=np.uint8)
LABEL = RNG.integers(0, 4, (12, 20), dtype=np.uint8)


@pytest.fixture
def save(tmp_path):
    """Writes an image of Pillow to a file; its path."""

    def save(image, name="x.png", **options):
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.fixture
def image(save):
    """The file of an image of the size of LABEL."""
    return save(Image.fromarray(PIXELS), "image.png")


def _png(path, values, bits, colour=0, interlaced=False):
    """Write one channel in any number of bits a pixel, as Pillow does not: chunk by chunk."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def rows(part):
        for row in part:
            packed = "".join(f"{value:0{bits}b}" for value in row)
            packed += "0" * (-len(packed) % 8)
            yield b"\0" + int(packed, 2).to_bytes(len(packed) // 8, "big")

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [values[r::dr, c::dc] for r, c, dr, dc in passes] if interlaced else [values]  # Adam7
    height, width = values.shape
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(255 - i // 3 for i in range(3 << bits))) if colour == 3 else b""
    content = zlib.compress(b"".join(row for part in parts if part.size for row in rows(part)))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_images_of_every_kind_of_png_are_as_pillow_shows_them(save, mode):
    picture = Image.fromarray(PIXELS).convert(mode)
    path = save(picture)
    assert np.array_equal(decode_image(path), np.array(picture.convert("RGB")))
    assert np.array_equal(decode_image(path, "BGR"), decode_image(path)[..., ::-1])
    assert size(path) == (12, 20)


def test_alpha_is_dropped_and_not_blended(save):
    transparent = np.dstack([PIXELS, np.zeros((12, 20), np.uint8)])
    assert np.array_equal(decode_image(save(Image.fromarray(transparent))), PIXELS)


@pytest.mark.parametrize(("mode", "error"), [("RGB", 0), ("L", 0), ("CMYK", 2)])
def test_images_of_every_kind_of_jpeg(save, mode, error):
    """Of CMYK the two libraries round differently."""
    path = save(Image.fromarray(PIXELS).convert(mode), "x.jpg", quality=95, subsampling=0)
    with Image.open(path) as picture:
        difference = decode_image(path).astype(int) - np.array(picture.convert("RGB"))
    assert np.abs(difference).max() <= error + 2  # and builds of libjpeg


def test_interlaced_png(tmp_path):
    path = _png(tmp_path / "x.png", LABEL, 8, interlaced=True)
    assert np.array_equal(decode_values(path), LABEL)
    assert np.array_equal(decode_image(path), np.dstack([LABEL] * 3))


def test_the_content_counts_and_not_the_suffix(save):
    path = save(Image.fromarray(PIXELS), "x.jpg", format="PNG")
    assert np.array_equal(decode_image(path), PIXELS)


@pytest.mark.parametrize("shape", [(12, 20), (12, 20, 3), (12, 20, 4)])
def test_images_of_16_bits_are_refused(tmp_path, shape):
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), RNG.integers(0, 1 << 16, shape, dtype=np.uint16))
    with pytest.raises(UserError, match=r"x\.png: images have 8 bits per channel, but this has 16"):
        decode_image(path)


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp"])
def test_an_exif_orientation_is_read_and_not_applied(save, name, tag):
    """mmcv's `LoadImageFromFile` turns the image by it, and nothing turns the label."""
    exif = Image.Exif()
    exif[0x0112] = tag
    options = {"x.jpg": {"quality": 95}, "x.webp": {"lossless": True}}.get(name, {})
    plain = decode_image(save(Image.fromarray(PIXELS), f"plain{name}", **options))
    path = save(Image.fromarray(PIXELS), name, exif=exif, **options)
    assert np.array_equal(decode_image(path), plain)
    assert size(path) == (12, 20)
    assert orientation(path) == tag


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_the_orientation_of_a_tiff_is_applied_where_it_is_asked_for(tmp_path, tag, order):
    """OpenCV applies half of it in any case."""
    stored = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.fromarray(stored).save(tmp_path / "a.tif", exif=exif)
    found = decode_image(tmp_path / "a.tif", order, ANY_FORMAT)
    assert np.array_equal(found[..., ::-1] if order == "BGR" else found, stored)
    assert found.flags.c_contiguous
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    upright = [decode_image(tmp_path / name, order, ANY_FORMAT, upright=True) for name in ("a.tif", "a.png")]
    assert np.array_equal(*upright)


def test_a_tiff_of_three_channels_of_16_bits_is_refused(tmp_path):
    """Pillow opens it as one of 8 bits."""
    cv2.imwrite(str(tmp_path / "a.tif"), np.full((4, 6, 3), 1000, np.uint16))
    with pytest.raises(UserError, match="but this has 16: convert it"):
        decode_image(tmp_path / "a.tif", formats=ANY_FORMAT)


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff\xe1\x00\x08Exif\0\0"])
def test_a_file_without_an_orientation_has_the_first(tmp_path, content):
    (tmp_path / "x.jpg").write_bytes(content)
    assert orientation(tmp_path / "x.jpg") == orientation(tmp_path / "absent.jpg") == 1


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + b"\xff\xd8\xff\xda\xff\xd9" * 20}]
)
def test_a_jpeg_that_is_cut_is_refused_and_one_with_something_behind_it_is_not(save, options):
    path = save(Image.fromarray(PIXELS), "x.jpg", **options)
    content, pixels = path.read_bytes(), decode_image(path)
    path.write_bytes(content + b"\xff\xda" + bytes(100))
    assert np.array_equal(decode_image(path), pixels)
    for kept in (0, 1, 2, 100, len(content) // 2, len(content) - 40, len(content) - 3, len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(UserError, match=r"x\.jpg cannot be decoded: [^\n]*$"):
            decode_image(path)


def test_a_png_with_something_behind_it_is_whole(image):
    image.write_bytes(image.read_bytes() + bytes(1000))
    assert np.array_equal(decode_image(image), PIXELS)


def test_other_formats_are_refused(save):
    path = save(Image.fromarray(PIXELS), "x.png", format="BMP")
    with pytest.raises(UserError, match=r"x\.png cannot be decoded: it is not a PNG, WebP or JPEG image"):
        decode_image(path)


@pytest.mark.parametrize("colour", [0, 3])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_labels_of_fewer_bits_have_their_stored_values(tmp_path, image, bits, colour):
    """Grey or palette: Pillow alone multiplies grey values of 2 and 4 bits."""
    values = RNG.integers(0, 1 << min(bits, 4), (12, 20), dtype=np.uint8)
    path = _png(tmp_path / "x.png", values, bits, colour)
    assert np.array_equal(decode_values(path), values)
    found = decode_label(path, image, 16)
    assert found.dtype == np.uint8
    assert np.array_equal(found, values)


def test_a_label_of_16_bits_is_named_with_its_value(save):
    """mmsegmentation takes 259 modulo 256."""
    values = LABEL.astype(np.uint16)
    values[3, 4], values[5, 6] = 259, 276
    with pytest.raises(UserError, match=r"x\.png: .*; this is I;16, with the value 259 at row 3, column 4$"):
        decode_values(save(Image.fromarray(values)))
    with pytest.raises(UserError, match=r"this is I;16: save it in 8 bits, which its values fit$"):
        decode_values(save(Image.fromarray(LABEL.astype(np.uint16))))


def test_a_lossy_label_is_refused(save):
    with pytest.raises(UserError, match=r"x\.jpg: labels are PNG files, but this is JPEG, which is lossy"):
        decode_values(save(Image.fromarray(LABEL), "x.jpg"))
    with pytest.raises(UserError, match=r"x\.webp: labels .*one channel"):
        decode_values(save(Image.fromarray(LABEL), "x.webp", lossless=True))


@pytest.mark.parametrize(
    ("first", "void", "values", "classes"),
    [
        (0, VOID, [0, 1, 3, 255], [0, 1, 3, 255]),
        (1, VOID, [0, 1, 4, 255], [255, 0, 3, 255]),  # ADE20K: 255 is void, and not class 254
        (0, 4, [0, 1, 3, 4], [0, 1, 3, 255]),  # CamVid
    ],
)
def test_values_become_classes(tmp_path, save, first, void, values, classes):
    path = save(Image.fromarray(np.array([values], np.uint8)))
    picture = save(Image.new("RGB", (4, 1)), "image.png")
    assert decode_label(path, picture, 4, first, void).tolist() == [classes]


@pytest.mark.parametrize(
    ("first", "void", "value", "message"),
    [
        (0, VOID, 4, "classes are 0 to 3, and 255 is void"),
        (0, VOID, 254, "classes are 0 to 3, and 255 is void"),
        (1, VOID, 5, "classes are 1 to 4, and 0 and 255 are void"),
        (1, VOID, 254, "classes are 1 to 4, and 0 and 255 are void"),
        (0, 4, 255, "classes are 0 to 3, and 4 is void"),
    ],
)
def test_other_values_are_named(save, image, first, void, value, message):
    values = np.maximum(LABEL, first)
    values[3, 4] = value
    with pytest.raises(UserError, match=rf"x\.png: label value {value} at row 3, column 4; {message}"):
        decode_label(save(Image.fromarray(values)), image, 4, first, void)


def test_a_label_of_another_size_than_its_image(save, image):
    path = save(Image.fromarray(LABEL.T))
    with pytest.raises(UserError, match=r"x\.png: 20x12 pixels, but its image has 12x20$"):
        decode_label(path, image, 4)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = save(Image.fromarray(PIXELS), "turned.jpg", exif=exif)
    with pytest.raises(UserError, match=r"12x20 \(.*turned\.jpg has an EXIF orientation, which is not applied\)"):
        decode_label(path, turned, 4)


def test_pixels_of_a_jpeg_are_those_that_mmsegmentation_trains_on(save):
    smooth = cv2.resize(PIXELS, (101, 67))
    path = save(Image.fromarray(smooth), "x.jpg", quality=75)
    theirs = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decode_image(path, "BGR"), theirs)


def test_every_flipped_bit_of_a_jpeg_is_an_error_in_one_line_or_another_picture(save):
    path = save(Image.fromarray(PIXELS), "x.jpg")
    content = path.read_bytes()
    for position, bit in zip(RNG.integers(0, len(content), 200), RNG.integers(0, 8, 200), strict=True):
        broken = bytearray(content)
        broken[position] ^= 1 << bit
        path.write_bytes(broken)
        try:
            assert decode_image(path).shape[2] == 3
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_a_bomb_is_refused(tmp_path):
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    (tmp_path / "x.png").write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match=r"x\.png cannot be decoded"):
        decode_image(tmp_path / "x.png")
