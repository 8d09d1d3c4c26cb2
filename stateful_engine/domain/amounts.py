"""Figures as whole numbers: millionths of a percent, of an R, of a point of confidence; so that sums are exact.

Sums of floats depend on their order, and taking one away again leaves a remainder. Whole numbers do neither, and two
databases and Python agree on them. A figure beyond its limit is a mistake of its unit or of a stop that stood on the
entry; it is left out of sums and averages, as if it were unknown.
"""

from __future__ import annotations

import math
from typing import Any

MICRO = 1_000_000
NANO = 1_000_000_000

MAX_CONFIDENCE = 1_000
MAX_PERCENT = 100_000
MAX_R = 10_000
MAX_MILLISECONDS = 1_000_000_000
MAX_COST = 1_000_000
MAX_TOKENS = 1_000_000_000_000

SQUARE_BASE = 1_000_000_000
"""Squares are kept in two parts, `high * SQUARE_BASE + low`, as their sums would not fit into 64 bits."""


def units(value: Any, limit: float, unit: int = MICRO) -> int | None:
    """`value` in units of 1/`unit`, rounded half away from zero; None when it is unknown or beyond `limit`."""
    if value is None:
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    if not abs(number) <= limit:
        return None
    return int(number * unit + math.copysign(0.5, number))


def square(amount: int) -> tuple[int, int]:
    """The high and the low part of the square of an amount."""
    return divmod(amount * amount, SQUARE_BASE)


def confidence_bin(amount: int) -> int:
    """The bin, 0 to 9, of a confidence in millionths; 100 is in the last one."""
    return min(max(amount // (10 * MICRO), 0), 9)


R_BIN = 250_000
"""How wide a bin of R is."""

R_BINS = range(-21, 21)
"""The bins of R: -20 begins at -5 R and 19 ends at +5 R; -21 holds what is below and 20 what is above."""


def r_bin(amount: int) -> int:
    """The bin of a result in millionths of R; a bin includes its lower end."""
    return min(max(amount // R_BIN, R_BINS[0]), R_BINS[-1])


def latency_bin(microseconds: int) -> str:
    """The bin of a duration, at most 2.5 % wide: its first three digits, coarsened, and the number of those dropped.

    Bins of different periods can be added up. Text like `124e3` stands for 124 000 to 125 999.
    """
    digits = str(max(microseconds, 0))
    lead, dropped = int(digits[:3]), max(len(digits) - 3, 0)
    if dropped:
        lead -= lead % bin_step(lead)
    return f"{lead}e{dropped}"


def bin_step(lead: int) -> int:
    """How many values of the first three digits share a bin."""
    return 2 if lead < 200 else 5 if lead < 500 else 10


def bin_begin(label: str) -> int:
    """The shortest duration of a bin, by which bins are put in order."""
    lead, _, dropped = label.partition("e")
    return int(lead) * int(10 ** int(dropped))
