"""The margin of a comparison of accuracies, in points of percent."""

from __future__ import annotations

from numbers import Real

from benchmark.errors import UserError


def check_margin(points: float) -> None:
    """Reject what is no margin.

    Raises:
        UserError: it is not above 0, or above 100.
    """
    if isinstance(points, bool) or not isinstance(points, Real) or not 0 < points <= 100:
        raise UserError(f"margin {points}: a positive number of points, up to 100, such as 0.5")
