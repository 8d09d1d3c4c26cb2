"""Whether a confidence of 80 wins 80 times in 100: how far the stated confidence may be trusted.

A forecast is a confidence and what became of it: 1 for a WIN, 0 for a LOSS. Pairs in which either is None or NaN are
left out (pending, unfilled, breakeven, HOLD, no confidence). Confidence may be given as 0 to 100 or as a probability:
see `scale`. Whatever is undefined is None, never NaN or infinity.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stateful_engine.domain.metrics import Interval, wilson_interval
from stateful_engine.errors import InvalidInputError

BINS = 10
WIDTH = 100 // BINS
MINIMUM_BRIER = 30
MINIMUM_AUC = 30
MINIMUM_ECE = 100
MINIMUM_OVERCONFIDENCE = 30

Cells = dict[float, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One row of the reliability table: the signals whose confidence lies between `low` and `high`, both included.

    `low` and `high` are integer confidences (0-9, 10-19, … 90-100); `mean_confidence` and `win_rate` are 0 to 1.
    """

    low: int
    high: int
    n: int
    wins: int
    mean_confidence: float | None
    win_rate: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """All figures of calibration, each None below its minimum n; `minimum_n` says what each needs."""

    n: int
    wins: int
    table: tuple[ReliabilityBin, ...]
    brier: float | None
    brier_skill: float | None
    expected_calibration_error: float | None
    auc: float | None
    overconfidence: float | None
    minimum_n: Mapping[str, int]


def brier(
    y_true: Iterable[float | None], y_prob: Iterable[float | None], *, scale: float | None = None
) -> float | None:
    """Mean squared error of the confidence: mean((p - y)²), 0 is perfect (Brier 1950; sklearn `brier_score_loss`).

    `scale` is what full confidence is written as: 100, or 1 for probabilities; left out, it is 100 when any value
    exceeds 1. None without a forecast; InvalidInputError for outcomes other than 0 and 1 and confidences out of range.
    """
    return _brier(cells_of(y_true, y_prob, scale=scale))


def brier_skill(
    y_true: Iterable[float | None], y_prob: Iterable[float | None], *, scale: float | None = None
) -> float | None:
    """Improvement over always stating the base rate: 1 - Brier / (b(1 - b)) (Murphy 1973); above 0 is skill.

    None without a forecast, or when all of them won or all lost: then the base rate alone is perfect.
    """
    return _brier_skill(cells_of(y_true, y_prob, scale=scale))


def expected_calibration_error(
    y_true: Iterable[float | None], y_prob: Iterable[float | None], *, scale: float | None = None
) -> float | None:
    """Mean distance between stated and observed: Σ n_b/n · |win rate_b - mean confidence_b| over the ten bins.

    Naeini, Cooper and Hauskrecht 2015, with the bins of `reliability_table`.
    """
    return _calibration_error(cells_of(y_true, y_prob, scale=scale))


def auc(y_true: Iterable[float | None], y_score: Iterable[float | None]) -> float | None:
    """How likely a winner was given more confidence than a loser, ties counting half (sklearn `roc_auc_score`).

    The Mann-Whitney statistic (Hanley and McNeil 1982). Any scores do, as only their order counts. None without a
    winner or without a loser.
    """
    return _auc(_count(_pairs(y_true, y_score)))


def overconfidence(
    y_true: Iterable[float | None], y_prob: Iterable[float | None], *, scale: float | None = None
) -> float | None:
    """Mean confidence minus the win rate: above 0 promises too much (calibration-in-the-large, Cox 1958)."""
    return _overconfidence(cells_of(y_true, y_prob, scale=scale))


def reliability_table(
    y_true: Iterable[float | None], y_prob: Iterable[float | None], *, scale: float | None = None
) -> tuple[ReliabilityBin, ...]:
    """Ten rows of stated against observed (Murphy and Winkler 1977), binned by the integer confidence, 100 in the last.

    Empty rows stay, with n = 0 and None.
    """
    return _table(cells_of(y_true, y_prob, scale=scale))


def calibration_report(
    y_true: Iterable[float | None], y_prob: Iterable[float | None], *, scale: float | None = None
) -> CalibrationReport:
    """Everything at once, each figure withheld below the n at which it begins to mean something."""
    return report_of_cells(cells_of(y_true, y_prob, scale=scale))


def report_of_cells(cells: Mapping[float, tuple[int, int]]) -> CalibrationReport:
    """`calibration_report` from pre-aggregated counts: probability (0 to 1) → (wins, losses)."""
    cells = dict(cells)
    wins, losses = _totals(cells)
    n = wins + losses
    return CalibrationReport(
        n=n,
        wins=wins,
        table=_table(cells),
        brier=_brier(cells) if n >= MINIMUM_BRIER else None,
        brier_skill=_brier_skill(cells) if n >= MINIMUM_BRIER else None,
        expected_calibration_error=_calibration_error(cells) if n >= MINIMUM_ECE else None,
        auc=_auc(cells) if n >= MINIMUM_AUC else None,
        overconfidence=_overconfidence(cells) if n >= MINIMUM_OVERCONFIDENCE else None,
        minimum_n={
            "brier": MINIMUM_BRIER,
            "brier_skill": MINIMUM_BRIER,
            "expected_calibration_error": MINIMUM_ECE,
            "auc": MINIMUM_AUC,
            "overconfidence": MINIMUM_OVERCONFIDENCE,
        },
    )


def cells_of(y_true: Iterable[float | None], y_prob: Iterable[float | None], *, scale: float | None = None) -> Cells:
    """Forecasts counted by probability: {probability: (wins, losses)}."""
    pairs = _pairs(y_true, y_prob)
    full = scale or (100.0 if any(stated > 1 for _, stated in pairs) else 1.0)
    if any(not 0 <= stated <= full for _, stated in pairs):
        raise InvalidInputError(f"A confidence is outside 0 to {full:g}; leave it out or pass None for it.")
    return _count([(won, stated / full) for won, stated in pairs])


def _pairs(y_true: Iterable[float | None], y_prob: Iterable[float | None]) -> list[tuple[bool, float]]:
    pairs = [(won, stated) for won, stated in zip(y_true, y_prob, strict=True) if _known(won) and _known(stated)]
    if any(won not in {0, 1} for won, _ in pairs):
        raise InvalidInputError("y_true holds something other than 0 and 1; pass outcomes first, confidences second.")
    return [(won == 1, float(stated or 0.0)) for won, stated in pairs]


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _count(pairs: Sequence[tuple[bool, float]]) -> Cells:
    cells: Cells = {}
    for won, stated in pairs:
        wins, losses = cells.get(stated, (0, 0))
        cells[stated] = (wins + won, losses + (not won))
    return cells


def _totals(cells: Cells) -> tuple[int, int]:
    return sum(wins for wins, _ in cells.values()), sum(losses for _, losses in cells.values())


def _brier(cells: Cells) -> float | None:
    n = sum(_totals(cells))
    squares = math.fsum(wins * (1 - p) ** 2 + losses * p**2 for p, (wins, losses) in cells.items())
    return squares / n if n else None


def _brier_skill(cells: Cells) -> float | None:
    wins, losses = _totals(cells)
    score = _brier(cells)
    if score is None or not wins or not losses:
        return None
    base_rate = wins / (wins + losses)
    return 1 - score / (base_rate * (1 - base_rate))


def _calibration_error(cells: Cells) -> float | None:
    n = sum(_totals(cells))
    if not n:
        return None
    return math.fsum(
        row.n / n * abs(row.win_rate - row.mean_confidence)
        for row in _table(cells)
        if row.win_rate is not None and row.mean_confidence is not None
    )


def _auc(cells: Cells) -> float | None:
    wins, losses = _totals(cells)
    if not wins or not losses:
        return None
    beaten, below = 0.0, 0
    for _, (won, lost) in sorted(cells.items()):
        beaten += won * (below + lost / 2)
        below += lost
    return beaten / (wins * losses)


def _overconfidence(cells: Cells) -> float | None:
    wins, losses = _totals(cells)
    n = wins + losses
    if not n:
        return None
    return math.fsum(p * sum(counts) for p, counts in cells.items()) / n - wins / n


def _table(cells: Cells) -> tuple[ReliabilityBin, ...]:
    binned: list[Cells] = [{} for _ in range(BINS)]
    for stated, counts in cells.items():
        binned[_bin_of(stated)][stated] = counts
    return tuple(_row(number, among) for number, among in enumerate(binned))


def _bin_of(probability: float) -> int:
    """The bin of the integer confidence; rounding first, as 0.29 · 100 is 28.999…"""
    return min(int(round(probability * 100, 9)) // WIDTH, BINS - 1)


def _row(number: int, cells: Cells) -> ReliabilityBin:
    wins, losses = _totals(cells)
    n = wins + losses
    stated = math.fsum(p * sum(counts) for p, counts in cells.items())
    return ReliabilityBin(
        low=number * WIDTH,
        high=100 if number == BINS - 1 else (number + 1) * WIDTH - 1,
        n=n,
        wins=wins,
        mean_confidence=stated / n if n else None,
        win_rate=wins / n if n else None,
        interval=wilson_interval(wins, n),
    )
