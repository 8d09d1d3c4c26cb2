"""Tail areas and quantiles: normal and chi-square exactly from the standard library, Student's t from scipy.

Without the extra `stats` Student's t is replaced by the normal distribution; whoever asks gets told, so that the
answer can carry a flag. From 30 degrees of freedom on the two differ by less than 4 % at the 95 % quantile.
"""

from __future__ import annotations

import importlib
import math
from statistics import NormalDist
from typing import Any

_STANDARD_NORMAL = NormalDist()


def normal_cdf(x: float) -> float:
    """The probability that a standard normal value is below `x`, with full relative precision in both tails."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def normal_pdf(x: float) -> float:
    """The standard normal density."""
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def normal_quantile(p: float) -> float:
    """The standard normal value below which a share `p` in (0, 1) lies."""
    return _STANDARD_NORMAL.inv_cdf(p)


def _special() -> Any | None:
    """`scipy.special`, imported on use; None when the extra `stats` is not installed."""
    try:
        return importlib.import_module("scipy.special")
    except ImportError:
        return None


def t_is_approximate() -> bool:
    """Whether Student's t is replaced by the normal distribution because scipy is missing."""
    return _special() is None


def t_cdf(x: float, df: float) -> float:
    """The probability that Student's t with `df` degrees of freedom is below `x`."""
    special = _special()
    return normal_cdf(x) if special is None else float(special.stdtr(df, x))


def t_quantile(p: float, df: float) -> float:
    """The value below which Student's t with `df` degrees of freedom lies with probability `p` in (0, 1)."""
    special = _special()
    return normal_quantile(p) if special is None else float(special.stdtrit(df, p))


def chi_square_tail(x: float, df: int) -> float:
    """The probability that a chi-square value with `df` degrees of freedom exceeds `x`.

    Closed forms for whole degrees of freedom. Source: Abramowitz and Stegun 26.4.4 and 26.4.5.
    """
    if x <= 0.0 or df < 1:
        return 1.0
    half = 0.5 * x
    total = math.erfc(math.sqrt(half)) if df % 2 else 0.0
    for k in range(df // 2):
        shape = k + 0.5 * (df % 2)
        total += math.exp(shape * math.log(half) - half - math.lgamma(shape + 1.0))
    return min(total, 1.0)
