"""What closed signals were worth: the usual figures of trading, each with its reference and without a false number.

Results are one number per closed trade, R multiples or percent; `None`, NaN and infinity among them are unknown and
left out. Whatever is undefined (0/0, no loss to divide by, too few trades) is None, never NaN or infinity, so that
every figure can be written as JSON. Pending and unfilled signals and HOLD are no results: they belong in no rate.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from statistics import median
from typing import NamedTuple, overload

from stateful_engine.domain.vocabulary import Outcome
from stateful_engine.errors import InvalidInputError

Z_95 = 1.959963984540054
DAYS_PER_YEAR = 365.0
SQN_MINIMUM = 30

Result = float | None
Judged = float | str | None


class Interval(NamedTuple):
    """A lower and an upper bound."""

    low: float
    high: float


class Streaks(NamedTuple):
    """The longest runs of wins and of losses; a breakeven trade ends both."""

    max_consecutive_wins: int
    max_consecutive_losses: int


class Durations(NamedTuple):
    """How long positions were held, in the unit of the times given."""

    n: int
    mean: float
    median: float
    longest: float


@overload
def win_rate(results: int, losses: int) -> float | None: ...
@overload
def win_rate(results: Iterable[Judged]) -> float | None: ...
def win_rate(results: int | Iterable[Judged], losses: int | None = None) -> float | None:
    """Share of wins among decided trades, 0 to 1: W / (W + L).

    Give the two counts, or the results: numbers (positive wins, negative loses) or outcome words. Breakeven, pending
    and unfilled ones count on neither side. None when nothing was decided. The textbook's percent profitable (Schwager
    1984), without the trades that came out even.
    """
    wins, lost = _decided(results, losses)
    return _ratio(wins, wins + lost)


@overload
def win_rate_all(results: int, n: int) -> float | None: ...
@overload
def win_rate_all(results: Iterable[Judged]) -> float | None: ...
def win_rate_all(results: int | Iterable[Judged], n: int | None = None) -> float | None:
    """Share of wins among all closed trades, breakeven ones included: W / n (freqtrade's `winrate`)."""
    if isinstance(results, int):
        return _ratio(results, n or 0)
    signs = [sign for sign in map(_sign, results) if sign is not None]
    return _ratio(signs.count(1), len(signs))


def win_rate_bounds(wins: int, losses: int, *, ambiguous_wins: int = 0, ambiguous_losses: int = 0) -> Interval | None:
    """How low and how high the win rate may truly be when some outcomes rest on a policy.

    `wins` and `losses` include the ambiguous ones; the lower bound counts all of those as lost, the upper as won
    (worst-case bounds of a partially identified proportion, Manski 2003).
    """
    n = wins + losses
    if n == 0:
        return None
    return Interval((wins - ambiguous_wins) / n, (wins + ambiguous_losses) / n)


def wilson_interval(successes: int, n: int, *, z: float = Z_95) -> Interval | None:
    """The confidence interval of a proportion that also holds for few trials (Wilson 1927, 95 % by default).

    (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n) with p = successes / n. None for n = 0; InvalidInputError when
    there are more successes than trials.
    """
    if not 0 <= successes <= n:
        raise InvalidInputError(f"{successes} successes in {n} trials cannot be; give counts with 0 <= successes <= n.")
    if n == 0:
        return None
    share, square = successes / n, z * z / n
    centre = share + square / 2
    spread = z * math.sqrt(share * (1 - share) / n + square / (4 * n))
    low = 0.0 if successes == 0 else max(0.0, (centre - spread) / (1 + square))
    high = 1.0 if successes == n else min(1.0, (centre + spread) / (1 + square))
    return Interval(low, high)


def expectancy(results: Iterable[Result]) -> float | None:
    """What one trade brings on average, in the unit of the results: mean(p).

    Equal to W · average win - L · average loss (Tharp 1998; freqtrade `calculate_expectancy`, which says 0 where this
    is None).
    """
    return _mean(_known(results))


def expectancy_ratio(results: Iterable[Result]) -> float | None:
    """What one trade brings per unit of the average loss: (1 + payoff) · W/n - 1 (freqtrade `calculate_expectancy`).

    None when nothing was lost, where freqtrade says 100.
    """
    known = _known(results)
    average_loss = _mean([-result for result in known if result < 0])
    if average_loss is None:
        return None
    gains = [result for result in known if result > 0]
    return _finite((1 + (_mean(gains) or 0.0) / average_loss) * len(gains) / len(known) - 1)


def profit_factor(results: Iterable[Result]) -> float | None:
    """What was won for each unit lost: Σ gains / |Σ losses| (Schwager 1984). None when nothing was lost."""
    known = _known(results)
    return profit_factor_of_sums(_gained(known), _lost(known))


def profit_factor_of_sums(gained: float, lost: float) -> float | None:
    """`profit_factor` from pre-aggregated sums; `lost` may carry either sign."""
    return _ratio(gained, abs(lost))


def profit_factor_unbounded(results: Iterable[Result]) -> bool:
    """True when the profit factor is None because there were gains and nothing was lost."""
    known = _known(results)
    return _gained(known) > 0 and _lost(known) == 0


def payoff(results: Iterable[Result]) -> float | None:
    """Average win over average loss (van Tharp's payoff ratio). None without a win or without a loss."""
    known = _known(results)
    gain = _mean([result for result in known if result > 0])
    loss = _mean([-result for result in known if result < 0])
    return None if gain is None or loss is None else _ratio(gain, loss)


def break_even_win_rate(results: Iterable[Result]) -> float | None:
    """The win rate at which these wins and losses would just cancel out: 1 / (1 + payoff)."""
    ratio = payoff(results)
    return None if ratio is None else 1 / (1 + ratio)


def kelly(results: Iterable[Result]) -> float | None:
    """Kelly's fraction for two-sided results: W - (1 - W) / payoff with W = wins / n (Kelly 1956; backtesting.py).

    Negative when the edge is. None without a win or without a loss.
    """
    known = _known(results)
    ratio, won = payoff(known), win_rate_all(known)
    return None if not ratio or won is None else _finite(won - (1 - won) / ratio)


def sqn(results: Iterable[Result], *, minimum: int = SQN_MINIMUM) -> float | None:
    """Tharp's System Quality Number per trade: √n · mean / std (ddof 1); None below `minimum` trades.

    As in backtesting.py, without Tharp's cap of n at 100.
    """
    known = _known(results)
    deviation, average = _deviation(known), _mean(known)
    if len(known) < minimum or average is None or not deviation:
        return None
    return _finite(math.sqrt(len(known)) * average / deviation)


def daily_totals(
    results: Iterable[tuple[date, Result]], *, first: date | None = None, last: date | None = None
) -> list[float]:
    """One sum per calendar day (UTC) from `first` to `last`, days without a close being 0.

    The days default to those of the earliest and the latest result; results outside are left out.
    """
    totals: defaultdict[date, float] = defaultdict(float)
    for day, result in results:
        if _is_known(result):
            totals[day] += result or 0.0
    begin, end = first or min(totals, default=None), last or max(totals, default=None)
    if begin is None or end is None:
        return []
    return [totals.get(begin + timedelta(days=offset), 0.0) for offset in range((end - begin).days + 1)]


def sharpe(
    returns: Iterable[Result], periods_per_year: float = DAYS_PER_YEAR, *, risk_free_per_period: float = 0.0
) -> float | None:
    """Sharpe ratio, annualised: mean(r - rf) / std(r - rf, ddof 1) · √periods (Sharpe 1994; empyrical `sharpe_ratio`).

    Feed it `daily_totals`, whose zero days belong to it. None for fewer than two returns or without any variation.
    """
    excess = [value - risk_free_per_period for value in _known(returns)]
    deviation, average = _deviation(excess), _mean(excess)
    if average is None or not deviation:
        return None
    return _finite(average / deviation * math.sqrt(periods_per_year))


def sortino(
    returns: Iterable[Result], periods_per_year: float = DAYS_PER_YEAR, *, required_return: float = 0.0
) -> float | None:
    """Sortino ratio, annualised: mean(r - t) / √mean(min(r - t, 0)²) · √periods (empyrical `sortino_ratio`).

    The downside is averaged over all periods, not over the losing ones (Sortino and van der Meer 1991). None for fewer
    than two returns, and without a downside, where empyrical says infinity.
    """
    excess = [value - required_return for value in _known(returns)]
    if len(excess) < 2:
        return None
    downside = math.sqrt(math.fsum(min(value, 0.0) ** 2 for value in excess) / len(excess))
    average = math.fsum(excess) / len(excess)
    return _finite(average / downside * math.sqrt(periods_per_year)) if downside else None


def calmar(
    returns: Sequence[Result], periods_per_year: float = DAYS_PER_YEAR, *, compounded: bool = True
) -> float | None:
    """Yearly return over the maximum drawdown (Young 1991; empyrical `calmar_ratio`).

    Compounded for returns on capital; with `compounded=False` for daily R, which add up: mean · periods over the
    drawdown of cumulative R. None without a drawdown.
    """
    drawdown = max_drawdown(returns, compounded=compounded)
    yearly = annual_return(returns, periods_per_year) if compounded else _scaled_mean(returns, periods_per_year)
    return None if yearly is None or not drawdown else _finite(yearly / drawdown)


def annual_return(returns: Sequence[Result], periods_per_year: float = DAYS_PER_YEAR) -> float | None:
    """Compound return per year: Π(1 + r)^(periods / n) - 1 (empyrical `annual_return`; an unknown return is 0)."""
    growth = math.prod(1 + value for value in _filled(returns))
    return cagr(1.0, growth, len(returns) / periods_per_year * DAYS_PER_YEAR) if returns else None


def cagr(start: float, end: float, days: float) -> float | None:
    """Compound annual growth rate: (end / start)^(365 / days) - 1 (freqtrade `calculate_cagr`).

    None without capital to start with, without time, or when more than everything was lost.
    """
    if start <= 0 or end < 0 or days <= 0:
        return None
    try:
        return _finite((end / start) ** (DAYS_PER_YEAR / days) - 1)
    except OverflowError:
        return None


def max_drawdown(
    results: Sequence[Result], *, closed_at: Sequence[float] | None = None, compounded: bool = False
) -> float | None:
    """The deepest fall below an earlier height, as a positive number; 0 when there was none, None without results.

    On cumulative results (R) that begin at 0, so that a first loss counts; or, `compounded`, as a share of capital that
    begins at 1 (empyrical `max_drawdown`, with the sign turned). With `closed_at` the results are put in order of time
    and those of the same moment are netted, as nobody can say which came first.
    """
    steps = _filled(results) if closed_at is None else _netted(_filled(results), closed_at)
    if not steps:
        return None
    height = peak = 1.0 if compounded else 0.0
    deepest = 0.0
    for step in steps:
        height = height * (1 + step) if compounded else height + step
        peak = max(peak, height)
        deepest = max(deepest, (peak - height) / peak if compounded else peak - height)
    return _finite(deepest)


def current_drawdown(results: Sequence[Result], *, closed_at: Sequence[float] | None = None) -> float | None:
    """How far the cumulative results end below their height so far, as a positive number; 0 at the height.

    Steps are as in `max_drawdown`; None without results.
    """
    steps = _filled(results) if closed_at is None else _netted(_filled(results), closed_at)
    if not steps:
        return None
    height = peak = 0.0
    for step in steps:
        height += step
        peak = max(peak, height)
    return _finite(peak - height)


def streaks(results: Iterable[Judged]) -> Streaks:
    """The longest runs of wins and of losses in the order given (numbers or outcome words).

    freqtrade's `calc_streak` counts a result of 0 as a loss; here it ends either run.
    """
    longest = {1: 0, -1: 0}
    run = previous = 0
    for sign in map(_sign, results):
        if sign is None:
            continue
        run = run + 1 if sign == previous else 1
        previous = sign
        if sign:
            longest[sign] = max(longest[sign], run)
    return Streaks(longest[1], longest[-1])


def durations(spans: Iterable[tuple[float | None, float | None]]) -> Durations | None:
    """How long positions were held, from (opened, closed) pairs; spans with an unknown end are left out."""
    held = [closed - opened for opened, closed in spans if opened is not None and closed is not None]
    if not held:
        return None
    return Durations(len(held), math.fsum(held) / len(held), float(median(held)), float(max(held)))


def _decided(results: int | Iterable[Judged], losses: int | None) -> tuple[int, int]:
    if isinstance(results, int):
        return results, losses or 0
    signs = [_sign(result) for result in results]
    return signs.count(1), signs.count(-1)


def _sign(result: Judged) -> int | None:
    """1 for a win, -1 for a loss, 0 for breakeven, None for what is no result."""
    if isinstance(result, str):
        words = {Outcome.WIN.value: 1, Outcome.LOSS.value: -1, Outcome.BREAKEVEN.value: 0}
        return words.get(str(result))
    if result is None or not math.isfinite(result):
        return None
    return (result > 0) - (result < 0)


def _is_known(result: Result) -> bool:
    return result is not None and math.isfinite(result)


def _known(results: Iterable[Result]) -> list[float]:
    return [result for result in results if result is not None and math.isfinite(result)]


def _filled(results: Iterable[Result]) -> list[float]:
    return [result if result is not None and math.isfinite(result) else 0.0 for result in results]


def _netted(results: Sequence[float], closed_at: Sequence[float]) -> list[float]:
    totals: defaultdict[float, float] = defaultdict(float)
    for result, moment in zip(results, closed_at, strict=True):
        totals[moment] += result
    return [totals[moment] for moment in sorted(totals)]


def _gained(results: Iterable[float]) -> float:
    return math.fsum(result for result in results if result > 0)


def _lost(results: Iterable[float]) -> float:
    return -math.fsum(result for result in results if result < 0)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _scaled_mean(values: Iterable[Result], factor: float) -> float | None:
    average = _mean(_filled(values))
    return None if average is None else average * factor


def _deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (ddof 1); exactly 0 for equal values, whatever rounding does to their mean."""
    if len(values) < 2:
        return None
    if min(values) == max(values):
        return 0.0
    average = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - average) ** 2 for value in values) / (len(values) - 1))


def _ratio(numerator: float, denominator: float) -> float | None:
    return _finite(numerator / denominator) if denominator else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
