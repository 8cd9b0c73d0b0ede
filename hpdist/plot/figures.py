"""Figures: their sizes, and axes to draw on."""

from __future__ import annotations

import math
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_number

POINTS_PER_INCH = 72.27
"""TeX's points in an inch."""

GOLDEN = (math.sqrt(5) - 1) / 2


def figure_size(width: float, fraction: float = 1.0, ratio: float = GOLDEN) -> tuple[float, float]:
    """Return (width, height) in inches for matplotlib's ``figsize``.

    Parameters
    ----------
    width
        Of the text, in TeX's points, as ``\\the\\textwidth`` prints it.
    fraction
        The share of it that the figure takes.
    ratio
        Height by width; the golden ratio by default.

    Raises
    ------
    ConfigurationError
        If one of them is no number above 0.
    """
    width = check_number("width", width, above=0)
    wide = width * check_number("fraction", fraction, above=0) / POINTS_PER_INCH
    return wide, wide * check_number("ratio", ratio, above=0)


def axes_of(ax: Any | None, rows: int = 1) -> tuple[Any, Any]:
    """Return (figure, axes): those of ``ax``, or new ones, in ``rows`` rows with a common x axis.

    Raises
    ------
    ConfigurationError
        If matplotlib is not installed.
    """
    if ax is not None:
        return ax.figure, ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ConfigurationError(
            "plots need the matplotlib package", do='pip install "hpdist[plot]"'
        ) from error
    return pyplot.subplots(rows, sharex=True, figsize=figure_size(600), tight_layout=True)
