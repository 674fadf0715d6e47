"""`gpu_batches.augment` in one pass over the pixels: Triton kernels, for GPUs.

A batch needs three launches and no temporary memory. The kernels read the table of `draw_table.tabulate`.
"""

# Triton infers the types of a kernel at compile time, and is not installed on every platform.
# mypy: disable-error-code="no-untyped-def,import-not-found,import-untyped"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from benchmark import confusion
from benchmark.inputs.augmentation import FILL, Policy
from benchmark.inputs.draw_table import FIELDS as TABLE_FIELDS

# Kernels can read module constants of this type.
VOID: tl.constexpr = tl.constexpr(confusion.VOID)
FIELDS: tl.constexpr = tl.constexpr(TABLE_FIELDS)

WINDOW: tl.constexpr = tl.constexpr(6)
"""Number of parameters of a crop: top, left, rows, columns, height, width."""

TILE = (4, 128)
"""Rows and columns of a program's tile: four pixels per thread; eight would take twice the registers."""

COUNTED = 8192
"""Pixels that a program counts per step."""


def augment(
    images: Tensor, labels: Tensor, table: Tensor, policy: Policy, classes: int, void: int
) -> tuple[Tensor, Tensor]:
    """Augment a batch like `gpu_batches.augment`, with the same arguments and results up to rounding."""
    batch, tries = len(table), (table.shape[1] - FIELDS.value) // WINDOW.value
    rows, columns = images.shape[2:]
    height, width = policy.crop_size
    inputs = images.new_empty((batch, 3, height, width))
    chosen = labels.new_empty((batch, height, width))
    with torch.cuda.device_of(images):  # Triton launches on the current device
        filled = torch.ones((batch, tries), dtype=torch.int32, device=images.device)
        ratio = torch.full((1,), policy.cat_max_ratio, dtype=torch.float64, device=images.device)
        across = triton.next_power_of_2(width)
        if tries > 1:
            # The first crop of nearly every image is accepted: check all first ones, then the others of images that
            # need them. The last one is accepted unconditionally.
            for first, attempts in ((0, 1), (1, tries - 2)):
                _class_fills_crop[(batch, attempts)](
                    labels, table, filled, ratio, first, rows, columns, classes,
                    crop_height=height, tries=tries,
                    bins=max(triton.next_power_of_2(classes + 1), 32),  # at least one per thread of a warp
                    tile_rows=max(COUNTED // across, 1), tile_columns=across, num_warps=16,
                )  # fmt: skip
        _augment[(triton.cdiv(width, TILE[1]), triton.cdiv(height, TILE[0]), batch)](
            images, labels, table, filled, inputs, chosen, rows, columns, height, width, void, *FILL,
            tries=tries, attempts=triton.next_power_of_2(tries), tile_rows=TILE[0], tile_columns=TILE[1],
        )  # fmt: skip
    return inputs, chosen


@triton.jit
def _class_fills_crop(
    labels, table, filled, ratio, first, image_rows, image_columns, classes,
    crop_height: tl.constexpr, tries: tl.constexpr, bins: tl.constexpr,
    tile_rows: tl.constexpr, tile_columns: tl.constexpr,
):  # fmt: skip
    """Store whether one class fills a crop, unless the first crop of its image is known to be accepted.

    A program counts the pixels of one crop. Counts fit in 32 bits; their products with the ratio need 64, and equal
    those of the CPU bitwise.
    """
    image = tl.program_id(0)
    attempt = first + tl.program_id(1)
    if tl.load(filled + image * tries) != 0:
        row = table + image * (FIELDS + tries * WINDOW)
        label = labels + tl.load(row).to(tl.int64) * image_rows * image_columns
        top, left, rows, columns, height, width = _window(row, attempt)
        x = tl.arange(0, tile_columns)
        from_columns = left + _nearest(x, columns, width)
        counts = tl.zeros([bins], tl.int32)
        for start in range(0, crop_height, tile_rows):
            y = start + tl.arange(0, tile_rows)
            from_rows = top + _nearest(y, rows, height)
            inside = (y < height)[:, None] & (x < width)[None, :]
            places = label + from_rows[:, None] * image_columns + from_columns[None, :]
            values = tl.load(places, mask=inside, other=0).to(tl.int32)
            values = tl.where(inside, tl.minimum(values, classes), classes)  # the last bin is void
            counts += tl.histogram(tl.reshape(values, [tile_rows * tile_columns]), bins)
        counts = tl.where(tl.arange(0, bins) < classes, counts, 0)
        largest = tl.max(counts, axis=0).to(tl.float64)
        fills = largest >= tl.load(ratio) * tl.sum(counts, axis=0).to(tl.float64)
        tl.store(filled + image * tries + attempt, fills.to(tl.int32))


@triton.jit
def _augment(
    images, labels, table, filled, inputs, chosen, image_rows, image_columns, crop_height, crop_width, void,
    fill_red, fill_green, fill_blue,
    tries: tl.constexpr, attempts: tl.constexpr, tile_rows: tl.constexpr, tile_columns: tl.constexpr,
):  # fmt: skip
    """Compute a tile of the output: tile_rows by tile_columns pixels of one image and its label."""
    image = tl.program_id(2)
    row = table + image * (FIELDS + tries * WINDOW)
    attempt = tl.arange(0, attempts)
    good = tl.load(filled + image * tries + attempt, mask=attempt < tries, other=1) == 0
    attempt = tl.min(tl.where(good, attempt, tries - 1), axis=0)
    top, left, rows, columns, height, width = _window(row, attempt)

    y = tl.program_id(1) * tile_rows + tl.arange(0, tile_rows)[:, None]
    x = tl.program_id(0) * tile_columns + tl.arange(0, tile_columns)[None, :]
    inside = (y < height) & (x < width)
    kept = (y < crop_height) & (x < crop_width)
    from_x = tl.where(tl.load(row + 1) != 0, width - 1 - x, x)

    # Offsets between images exceed 32 bits, because a split may take gigabytes; those within an image do not.
    source = image_rows * image_columns
    index = tl.load(row).to(tl.int64)
    nearest = (top + _nearest(y, rows, height)) * image_columns + left + _nearest(from_x, columns, width)
    label = tl.load(labels + index * source + nearest, mask=inside, other=0).to(tl.int32)
    label = tl.where(inside & (label != VOID), label, void)
    area = crop_height * crop_width
    place = y * crop_width + x
    tl.store(chosen + image.to(tl.int64) * area + place, label.to(tl.uint8), mask=kept)

    upper, lower, down = _between(y, rows, height)
    before, after, across = _between(from_x, columns, width)
    upper, lower = (top + upper) * image_columns, (top + lower) * image_columns
    before, after = left + before, left + after
    red = images + index * 3 * source
    green, blue = red + source, red + 2 * source
    r = _interpolate(red, upper, lower, before, after, down, across, inside)
    g = _interpolate(green, upper, lower, before, after, down, across, inside)
    b = _interpolate(blue, upper, lower, before, after, down, across, inside)
    r, g, b = _distort(r, g, b, row)
    pixel = inputs + image.to(tl.int64) * 3 * area + place
    tl.store(pixel, tl.where(inside, r.to(tl.int32), fill_red).to(tl.uint8), mask=kept)
    tl.store(pixel + area, tl.where(inside, g.to(tl.int32), fill_green).to(tl.uint8), mask=kept)
    tl.store(pixel + 2 * area, tl.where(inside, b.to(tl.int32), fill_blue).to(tl.uint8), mask=kept)


@triton.jit
def _window(row, attempt):
    """Load a crop of the image in this row of the table."""
    window = row + FIELDS + attempt * WINDOW
    top, left = tl.load(window).to(tl.int32), tl.load(window + 1).to(tl.int32)
    rows, columns = tl.load(window + 2).to(tl.int32), tl.load(window + 3).to(tl.int32)
    height, width = tl.load(window + 4).to(tl.int32), tl.load(window + 5).to(tl.int32)
    return top, left, rows, columns, height, width


@triton.jit
def _nearest(places, pixels, out):
    """Apply `augmentation.nearest` to places in the crop; results outside of it are invalid."""
    return (2 * places + 1) * pixels // (2 * out)


@triton.jit
def _between(places, pixels, out):
    """Return the two pixels along the crop's side around a place, and its distance from the first to the second."""
    position = (places.to(tl.float32) + 0.5) * pixels / out - 0.5
    position = tl.minimum(tl.maximum(position, 0.0), (pixels - 1).to(tl.float32))
    first = position.to(tl.int32)
    return first, tl.minimum(first + 1, pixels - 1), position - first.to(tl.float32)


@triton.jit
def _interpolate(plane, upper, lower, before, after, down, across, inside):
    """Interpolate a channel between two rows, given by their offsets, and two columns; integer values in float32."""
    above = _mixed(_read(plane + upper + before, inside), _read(plane + upper + after, inside), across)
    below = _mixed(_read(plane + lower + before, inside), _read(plane + lower + after, inside), across)
    return tl.floor(_mixed(above, below, down) + 0.5)


@triton.jit
def _read(places, inside):
    return tl.load(places, mask=inside, other=0).to(tl.float32)


@triton.jit
def _mixed(one, other, part):
    return one + (other - one) * part


@triton.jit
def _distort(r, g, b, row):
    """Apply `augmentation.distort` to values 0 to 255 in float32, with the same steps up to rounding."""
    brightness = tl.load(row + 2)
    r, g, b = _contrast(_clipped(r + brightness), _clipped(g + brightness), _clipped(b + brightness), tl.load(row + 3))

    largest, smallest = _extremes(r, g, b)
    saturation = tl.minimum(tl.load(row + 4), largest / tl.maximum(largest - smallest, 1.0))
    r = largest - (largest - r) * saturation
    g = largest - (largest - g) * saturation
    b = largest - (largest - b) * saturation

    largest, smallest = _extremes(r, g, b)
    turn = tl.load(row + 5) * (largest - smallest)
    rest = largest + smallest - (r + g + b)
    turned_r = _hue_shifted(2 * r + rest, g, b, turn, smallest, largest)
    turned_g = _hue_shifted(2 * g + rest, b, r, turn, smallest, largest)
    turned_b = _hue_shifted(2 * b + rest, r, g, turn, smallest, largest)
    return _contrast(turned_r, turned_g, turned_b, tl.load(row + 6))


@triton.jit
def _clipped(value):
    return tl.minimum(tl.maximum(value, 0.0), 255.0)


@triton.jit
def _contrast(r, g, b, factor):
    return tl.floor(_clipped(r * factor)), tl.floor(_clipped(g * factor)), tl.floor(_clipped(b * factor))


@triton.jit
def _extremes(r, g, b):
    return tl.maximum(tl.maximum(r, g), b), tl.minimum(tl.minimum(r, g), b)


@triton.jit
def _hue_shifted(slope, following, before, turn, smallest, largest):
    """Return a channel after a hue shift: it changes between the extremes, and is constant beyond them."""
    moved = slope + tl.where(following >= before, -turn, turn)
    return tl.floor(tl.minimum(tl.maximum(moved, smallest), largest) + 0.5)
