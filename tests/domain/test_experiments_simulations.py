"""Simulated experiments whose truth is known: looking daily, clustered signals and slow targets must not deceive.

Short by default; `STATEFUL_SIMULATIONS=20` runs twenty times as many.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from numpy.typing import NDArray

from stateful_engine.domain.experiments import (
    Arm,
    Evidence,
    ExposedSignal,
    Measured,
    Moments,
    RatioMoments,
    VerdictState,
    cluster_moments,
    judge,
    mature,
    welch,
)

SCALE = int(os.environ.get("STATEFUL_SIMULATIONS", "1"))
DAYS = 49
PER_DAY = 12
FOUND = {VerdictState.SHIP_B, VerdictState.KEEP_A, VerdictState.STOP_GUARDRAIL}
Floats = NDArray[np.float64]


def daily_sums(values: Floats) -> tuple[Floats, Floats]:
    """Running sums and sums of squares at the end of each day, of (day, unit) values."""
    return values.sum(axis=1).cumsum(), (values**2).sum(axis=1).cumsum()


def looks(dealer: np.random.Generator, *, lift: float = 0.0) -> list[Evidence]:
    """What the verdict sees on 49 evenings of an experiment with R outcomes of -1 (60 %) or +1.5 (40 %)."""
    outcomes = np.where(dealer.random((2, DAYS, PER_DAY)) < 0.4, 1.5, -1.0)
    outcomes[1] += lift
    (sum_a, square_a), (sum_b, square_b) = daily_sums(outcomes[0]), daily_sums(outcomes[1])
    wins = (outcomes > 0).sum(axis=2).cumsum(axis=1)
    evenings = []
    for day in range(DAYS):
        n = PER_DAY * (day + 1)
        arms = [Arm(units=n, positives=int(wins[i, day]), negatives=n - int(wins[i, day])) for i in (0, 1)]
        moments_a = Moments(n, float(sum_a[day]), float(square_a[day]))
        moments_b = Moments(n, float(sum_b[day]), float(square_b[day]))
        primary = Measured("expectancy_r", moments_a, moments_b)
        evenings.append(
            Evidence((primary,), arm_a=arms[0], arm_b=arms[1], days=day + 1.0, planned_n=2 * DAYS * PER_DAY)
        )
    return evenings


def test_looking_every_day_at_two_equal_engines_finds_a_winner_in_at_most_one_of_twenty() -> None:
    dealer, runs = np.random.default_rng(20260314), 300 * SCALE
    by_verdict = by_t_test = 0
    for _ in range(runs):
        evenings = looks(dealer)
        by_verdict += any(judge(one).state in FOUND for one in evenings)
        by_t_test += any(welch(one.primaries[0].a, one.primaries[0].b).p_value < 0.05 for one in evenings[4:])
    assert by_verdict / runs <= 0.05
    assert by_t_test / runs > 0.15, "the simulation has no teeth: peeking at a t-test must deceive"


def test_a_real_edge_is_found_before_the_planned_end() -> None:
    dealer, runs = np.random.default_rng(7), 40
    shipped = sum(any(judge(one).state is VerdictState.SHIP_B for one in looks(dealer, lift=0.35)) for _ in range(runs))
    assert shipped / runs > 0.8


def clustered_arm(dealer: np.random.Generator, *, clusters: int = 80, size: int = 8) -> Floats:
    """(cluster, signal) R values whose clusters share most of their fate."""
    common = dealer.normal(0.0, 1.0, (clusters, 1))
    return np.asarray(common + dealer.normal(0.0, 0.7, (clusters, size)))


def ratio(values: Floats) -> RatioMoments:
    return cluster_moments((row, float(value)) for row in range(len(values)) for value in values[row])


def test_correlated_signals_do_not_fake_a_difference() -> None:
    dealer, runs = np.random.default_rng(99), 200 * SCALE
    clustered = naive = 0
    for _ in range(runs):
        a, b = clustered_arm(dealer), clustered_arm(dealer)
        clustered += welch(ratio(a), ratio(b)).p_value < 0.05
        naive += welch(a.ravel().tolist(), b.ravel().tolist()).p_value < 0.05
    assert clustered / runs <= 0.07
    assert naive / runs > 0.25, "the simulation has no teeth: ignoring clusters must deceive"


HORIZON_HOURS = 24
STEP = 0.25
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def zero_edge_signals(dealer: np.random.Generator, *, target: float, count: int, until: int) -> list[ExposedSignal]:
    """Signals of an engine without any edge: a fair walk of 0.25 R an hour, a stop at -1 R and a target above.

    They are made at random hours before `until`; exits after it are not known yet.
    """
    walks = np.cumsum(np.where(dealer.random((count, until)) < 0.5, -STEP, STEP), axis=1)
    hit = (walks <= -1.0 + 1e-9) | (walks >= target - 1e-9)
    first = np.where(hit.any(axis=1), hit.argmax(axis=1), until)
    made = dealer.integers(0, until, count)
    return [
        signal_of(walk, made_at=int(hour), exit_step=int(step), until=until, buy=bool(number % 2))
        for number, (walk, hour, step) in enumerate(zip(walks, made, first, strict=True))
    ]


def signal_of(walk: Floats, *, made_at: int, exit_step: int, until: int, buy: bool) -> ExposedSignal:
    sign = 1.0 if buy else -1.0
    price = 100.0 + sign * walk  # one R is one unit of price
    age = until - made_at
    closed = exit_step < age
    return ExposedSignal(
        cluster=str(made_at),
        created_at=START + timedelta(hours=made_at),
        action="BUY" if buy else "SELL",
        entry_price=100.0,
        stop_loss=100.0 - sign,
        exit_price=float(price[exit_step]) if closed else None,
        closed_at=START + timedelta(hours=made_at + exit_step + 1) if closed else None,
        mark_price=float(price[HORIZON_HOURS - 1]) if age >= HORIZON_HOURS else None,
    )


@pytest.mark.parametrize("target", [1.0, 3.0])
def test_an_engine_without_edge_shows_none_whatever_its_targets(target: float) -> None:
    dealer, until = np.random.default_rng(4), 60
    signals = zero_edge_signals(dealer, target=target, count=20_000 * min(SCALE, 5), until=until)
    arm = mature(signals, now=START + timedelta(hours=until), horizon=timedelta(hours=HORIZON_HOURS))
    assert abs(arm.moments.mean) <= 0.03
    assert arm.counts.running > 0
    assert arm.counts.marked > 0
    assert arm.counts.unmarked == 0


def test_counting_only_what_has_resolved_makes_the_slower_target_look_ruinous() -> None:
    dealer, until = np.random.default_rng(4), 60
    signals = zero_edge_signals(dealer, target=3.0, count=20_000, until=until)
    resolved = [
        (one.exit_price - 100.0) * (1.0 if one.action == "BUY" else -1.0)
        for one in signals
        if one.exit_price is not None
    ]
    assert sum(resolved) / len(resolved) < -0.3
