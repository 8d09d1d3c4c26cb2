"""Outcomes per second: the vectorised engine against plain Python, on a year of synthetic one-minute candles.

    python benchmarks/resolve.py [--signals 1000000] [--sample 1000] [--rounds 5]

Plain Python is measured twice on a sample of the same signals: `barriers.resolve` with all its options, and a loop over
ready lists that can do nothing but this one case. The ratio on the last line is against that loop. Every sampled
outcome is compared with exit, excursions and data gap; the variants are interleaved; medians of CPU time count.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from stateful_engine.domain.barrier_frames import CandleFrame, OutcomeFrame, prepare_candles, resolve_frame
from stateful_engine.domain.barriers import Resolution, resolve

MINUTE = 60_000
YEAR = 525_600

T = TypeVar("T")
Answer = tuple[str | None, int | None, float | None, float | None, float | None, bool]
Lists = tuple[list[int], list[float], list[float], list[float]]


@dataclass(frozen=True)
class Market:
    times: np.ndarray
    opens: np.ndarray
    highs: np.ndarray
    lows: np.ndarray
    closes: np.ndarray

    def frame(self) -> CandleFrame:
        return prepare_candles(self.times, self.opens, highs=self.highs, lows=self.lows, closes=self.closes)


@dataclass(frozen=True)
class Signals:
    sides: list[str]
    entries: np.ndarray
    stops: np.ndarray
    targets: np.ndarray
    times: np.ndarray


def make_market(random: np.random.Generator) -> Market:
    closes = 30_000.0 * np.exp(np.cumsum(random.standard_normal(YEAR) * 0.0007))
    opens = np.concatenate([[30_000.0], closes[:-1]]) * (1 + random.standard_normal(YEAR) * 0.00005)
    highs = np.maximum(opens, closes) * (1 + np.abs(random.standard_normal(YEAR)) * 0.0003)
    lows = np.minimum(opens, closes) * (1 - np.abs(random.standard_normal(YEAR)) * 0.0003)
    return Market(np.arange(YEAR) * MINUTE, opens, highs, lows, closes)


def make_signals(market: Market, random: np.random.Generator, *, count: int) -> Signals:
    """Stops 0.5 to 3 percent away, targets one to three times as far, issued at any minute of the year."""
    candles = np.sort(random.integers(1, YEAR - 1, count))
    buys = random.random(count) < 0.5
    risk = random.uniform(0.005, 0.03, count)
    reward = risk * random.uniform(1.0, 3.0, count)
    entries = market.closes[candles - 1]
    direction = np.where(buys, 1.0, -1.0)
    return Signals(
        sides=np.where(buys, "BUY", "SELL").tolist(),
        entries=entries,
        stops=entries * (1 - direction * risk),
        targets=entries * (1 + direction * reward),
        times=market.times[candles],
    )


def vectorised(market: Market, signals: Signals) -> OutcomeFrame:
    return resolve_frame(
        signals.sides,
        signals.entries,
        stops=signals.stops,
        targets=signals.targets,
        signal_times=signals.times,
        candles=market.frame(),
    )


def by_walk(rows: list[tuple[float, ...]], signals: Signals, sample: list[int]) -> list[Answer]:
    answers = []
    for row in sample:
        found = resolve(
            signals.sides[row],
            float(signals.entries[row]),
            float(signals.stops[row]),
            float(signals.targets[row]),
            rows,
            signal_time=int(signals.times[row]),
            candle_ms=MINUTE,
        )
        answers.append(answer_of(found))
    return answers


def answer_of(found: Resolution) -> Answer:
    return found.exit_reason, found.exit_time, found.exit_price, found.best_price, found.worst_price, found.data_gap


def by_bare_loop(lists: Lists, signals: Signals, sample: list[int]) -> list[Answer]:
    return [
        bare_loop(
            lists,
            start=int(signals.times[row]) // MINUTE,
            entry=float(signals.entries[row]),
            stop=float(signals.stops[row]),
            target=float(signals.targets[row]),
        )
        for row in sample
    ]


def bare_loop(lists: Lists, *, start: int, entry: float, stop: float, target: float) -> Answer:
    """The rule table for a signal at its own price, the pessimistic policy and inclusive barriers, and nothing else."""
    times, opens, highs, lows = lists
    buy = stop < entry
    above, below = (target, stop) if buy else (stop, target)
    high_water = low_water = entry
    due, gap = times[start], False
    for index in range(start, len(opens)):
        if times[index] != due:
            gap = True
        due = times[index] + MINUTE
        high, low = highs[index], lows[index]
        if high >= above or low <= below:
            candle = (times[index], opens[index], high, low)
            water = (high_water, low_water)
            return bare_exit(candle, buy=buy, stop=stop, target=target, water=water, gap=gap)
        if high > high_water:  # noqa: PLR1730 - the call of max() would cost more than the comparison
            high_water = high
        if low < low_water:  # noqa: PLR1730 - as above
            low_water = low
    return (None, None, None, *(high_water, low_water)[:: 1 if buy else -1], gap)


def bare_exit(
    candle: tuple[int, float, float, float],
    *,
    buy: bool,
    stop: float,
    target: float,
    water: tuple[float, float],
    gap: bool,
) -> Answer:
    ts, at_open, high, low = candle
    stop_gap, target_gap = (at_open <= stop, at_open >= target) if buy else (at_open >= stop, at_open <= target)
    stopped = stop_gap or (not target_gap and (low <= stop if buy else high >= stop))
    price = at_open if stop_gap or target_gap else (stop if stopped else target)
    seen_high = price if stop_gap or target_gap or stopped != buy else high
    seen_low = price if stop_gap or target_gap or stopped == buy else low
    extremes = (max(water[0], seen_high), min(water[1], seen_low))
    return ("SL" if stopped else "TP", ts, price, *extremes[:: 1 if buy else -1], gap)


def timed(work: Callable[[], T]) -> tuple[float, T]:
    begun = time.process_time()
    answer = work()
    return time.process_time() - begun, answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signals", type=int, default=1_000_000)
    parser.add_argument("--sample", type=int, default=1_000, help="signals that plain Python resolves per round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    random = np.random.default_rng(20260101)
    market = make_market(random)
    signals = make_signals(market, random, count=options.signals)
    lists = tuple(column.tolist() for column in (market.times, market.opens, market.highs, market.lows))
    rows = list(zip(*lists, market.closes.tolist(), strict=True))

    seconds: dict[str, list[float]] = {"vectorised": [], "resolve": [], "loop": []}
    frame = vectorised(market, signals)
    for _ in range(options.rounds):
        sample = sorted(random.choice(options.signals, min(options.sample, options.signals), replace=False).tolist())
        spent, _ = timed(lambda: vectorised(market, signals))
        seconds["vectorised"].append(spent / options.signals)
        for name, work in (
            ("loop", lambda chosen=sample: by_bare_loop(lists, signals, chosen)),
            ("resolve", lambda chosen=sample: by_walk(rows, signals, chosen)),
        ):
            spent, answers = timed(work)
            seconds[name].append(spent / len(sample))
            check(frame, sample, answers)

    report(options.signals, {name: statistics.median(values) for name, values in seconds.items()}, frame)


def check(frame: OutcomeFrame, sample: list[int], answers: list[Answer]) -> None:
    for row, answer in zip(sample, answers, strict=True):
        if answer_of(frame.resolution(row)) != answer:
            raise SystemExit(f"signal {row}: {frame.resolution(row)} against {answer}")


def report(count: int, cost: dict[str, float], frame: OutcomeFrame) -> None:
    held = (frame.exit_time - frame.entry_time) / MINUTE
    print(
        f"{count:,} signals on {YEAR:,} candles, held {np.nanmedian(held):,.0f} candles in the median, "
        f"{np.nanmean(held):,.0f} on average"
    )
    for name, seconds in cost.items():
        print(f"{name:>12}: {1 / seconds:>12,.0f} signals/s  ({seconds * 1e6:,.2f} µs each)")
    print(f"vectorised / barriers.resolve: {cost['resolve'] / cost['vectorised']:,.0f} x")
    print(f"vectorised / bare Python loop: {cost['loop'] / cost['vectorised']:,.0f} x")


if __name__ == "__main__":
    main()
