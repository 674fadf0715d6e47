"""PSA mask, the operator of PSANet (Zhao et al., ECCV 2018; the authors' own is in https://github.com/hszhao/semseg).

Every position (h, w) predicts attention over a mask of (mask height, mask width) positions around itself, as channels.
The operator converts that to attention over the positions (y, x) of the map, in one of two directions:

    collect:     output[n, y * W + x, h, w] = input[n, i * mask width + j, h, w]
    distribute:  output[n, h * W + w, y, x] = input[n, i * mask width + j, h, w]

with i = y - h + half mask height and j = x - w + half mask width, and 0 where (i, j) is outside the mask.
"""

from __future__ import annotations

import torch
from torch import Tensor

COLLECT = 0  # the values of mmcv.ops.psa_mask; 1 is distribute


def psamask_forward(
    input: Tensor,
    output: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Spread the mask over the map.

    Args:
        input: (num_, h_mask * w_mask, h_feature, w_feature).
        output: (num_, h_feature * w_feature, h_feature, w_feature), overwritten.
        psa_type: 0 collect, 1 distribute.
        num_: batch size.
        h_feature: height of the map.
        w_feature: width of the map.
        h_mask: height of the mask.
        w_mask: width of the mask.
        half_h_mask: row of the mask's centre.
        half_w_mask: column of the mask's centre.
    """
    mask = input.view(num_, h_mask, w_mask, h_feature, w_feature)
    rows = _differences(h_feature, h_feature, input.device) + half_h_mask
    columns = _differences(w_feature, w_feature, input.device) + half_w_mask
    _view(output, psa_type, h_feature, w_feature).copy_(_pick(mask, rows, columns))


def psamask_backward(
    grad_output: Tensor,
    grad_input: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Compute the gradient of `psamask_forward` into `grad_input`, also by gathering: each (i, j) has one (y, x)."""
    grad = _view(grad_output, psa_type, h_feature, w_feature)
    y = _sums(h_mask, h_feature, grad.device) - half_h_mask
    x = _sums(w_mask, w_feature, grad.device) - half_w_mask
    grad_input.view(num_, h_mask, w_mask, h_feature, w_feature).copy_(_pick(grad, y, x))


def _view(attention: Tensor, psa_type: int, height: int, width: int) -> Tensor:
    """Return attention (n, H * W, H, W) of either type as a view (n, y, x, h, w)."""
    view = attention.view(-1, height, width, height, width)
    return view if psa_type == COLLECT else view.permute(0, 3, 4, 1, 2)


def _differences(first: int, second: int, device: torch.device) -> Tensor:
    return torch.arange(first, device=device)[:, None] - torch.arange(second, device=device)


def _sums(first: int, second: int, device: torch.device) -> Tensor:
    return torch.arange(first, device=device)[:, None] + torch.arange(second, device=device)


def _pick(source: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Gather picked[n, a, b, h, w] = source[n, rows[a, h], columns[b, w], h, w], or 0 if the index is outside.

    The axes are gathered one after the other, so that the indices remain small tables of (a, h) and (b, w).
    """
    n, height, width, h, w = source.shape
    inside = _inside(rows, height)[:, None, :, None] & _inside(columns, width)[:, None, :]
    rows = rows.clamp(0, height - 1)[:, None, :, None].expand(n, -1, width, -1, w)
    source = source.gather(1, rows)
    columns = columns.clamp(0, width - 1)[:, None, :].expand(n, rows.shape[1], -1, h, -1)
    return source.gather(2, columns).masked_fill_(~inside, 0)


def _inside(index: Tensor, size: int) -> Tensor:
    return (index >= 0) & (index < size)
