"""What an experiment is: refused with every fault before it starts, and afterwards always with an answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from stateful_engine.domain.assignment import bucket
from stateful_engine.domain.experiments import (
    METRICS,
    Design,
    ExperimentDesign,
    ExperimentStatus,
    Variant,
    bar_start,
    check_coverage_growth,
    check_design,
    episode_key,
    free_slice,
    layer_conflicts,
    metric_spec,
    serve,
    unit_of,
)
from stateful_engine.errors import InvalidInputError

UTC = timezone.utc
PLAIN = ExperimentDesign("gpt4o-vs-mini")


def test_a_plain_design_can_be_run() -> None:
    assert check_design(PLAIN) is PLAIN


FULL: dict[str, Any] = {
    "variants": (Variant("A", 0.3333), Variant("B", 0.3333), Variant("C", 0.3333)),
    "layer": ("prompts", 0.0, 0.5),
    "targeting": {"plan": {"in": ["pro"]}},
    "forced": {"tester": "B"},
    "guardrails": ("latency_ms", "error_rate"),
    "margins": {"expectancy_r": 0.05},
    "planned_n": 1000,
    "cheaper": "B",
    "starts_at": datetime(2026, 1, 1, tzinfo=UTC),
    "ends_at": datetime(2026, 2, 1, tzinfo=UTC),
}


def test_a_design_with_everything_can_be_run() -> None:
    check_design(replace(PLAIN, **FULL))


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "two words"}, "/name"),
        ({"name": "x" * 65}, "/name"),
        ({"variants": (Variant("A", 1.0),)}, "/variants"),
        ({"variants": (Variant("A"), Variant("A"))}, "/variants"),
        ({"variants": (Variant("A"), Variant(""))}, "/variants"),
        ({"variants": (Variant("A", 0.5), Variant("B", 0.4))}, "/variants"),
        ({"variants": (Variant("A", 0.5), Variant("B", 0.50021))}, "/variants"),
        ({"variants": (Variant("A", 1.2), Variant("B", -0.2))}, "/variants"),
        ({"variants": (Variant("A", float("nan")), Variant("B", 0.5))}, "/variants"),
        ({"variants": (Variant("A", 0.99995), Variant("B", 0.00005))}, "/variants"),
        ({"variants": (Variant("A", True), Variant("B", 0.0))}, "/variants"),
        ({"primaries": ()}, "/primaries"),
        ({"primaries": ("sharpe",)}, "/primaries/0"),
        ({"primaries": ("win_rate", "win_rate")}, "/primaries"),
        ({"guardrails": ("latency_ms", "mood")}, "/guardrails/1"),
        ({"margins": {"mood": 0.1}}, "/margins/mood"),
        ({"margins": {"win_rate": -0.1}}, "/margins/win_rate"),
        ({"margins": {"win_rate": float("nan")}}, "/margins/win_rate"),
        ({"coverage": 1.1}, "/coverage"),
        ({"coverage": float("nan")}, "/coverage"),
        ({"alpha": 0.0}, "/alpha"),
        ({"version": 0}, "/version"),
        ({"planned_n": 1}, "/planned_n"),
        ({"layer": ("prompts", 0.5, 0.5)}, "/layer"),
        ({"layer": ("prompts", 0.5, 1.5)}, "/layer"),
        ({"layer": ("", 0.0, 0.5)}, "/layer"),
        ({"layer": ("prompts", 0.0)}, "/layer"),
        ({"targeting": {"age": {"$bigger": 3}}}, "/targeting/age"),
        ({"forced": {"tester": "Z"}}, "/forced/tester"),
        ({"cheaper": "Z"}, "/cheaper"),
        ({"horizon": timedelta(0)}, "/horizon"),
        ({"block": timedelta(hours=-1)}, "/block"),
        ({"starts_at": datetime(2026, 1, 1)}, "/starts_at"),  # noqa: DTZ001
        ({"ends_at": datetime(2026, 1, 1)}, "/ends_at"),  # noqa: DTZ001
        ({"starts_at": datetime(2026, 1, 2, tzinfo=UTC), "ends_at": datetime(2026, 1, 2, tzinfo=UTC)}, "/ends_at"),
    ],
)
def test_a_design_that_cannot_run_is_refused_and_the_fault_is_named(change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        check_design(replace(PLAIN, **change))
    assert [fault.pointer for fault in refusal.value.errors] == [pointer]
    assert refusal.value.errors[0].detail in refusal.value.message


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(InvalidInputError) as refusal:
        check_design(replace(PLAIN, name="", coverage=2.0, primaries=("mood",)))
    assert {fault.pointer for fault in refusal.value.errors} == {"/name", "/coverage", "/primaries/0"}


def test_an_unknown_metric_is_refused_with_the_known_ones() -> None:
    assert metric_spec("latency_ms").sign == -1.0
    assert metric_spec("expectancy_r").sign == 1.0
    with pytest.raises(InvalidInputError, match="expectancy_r"):
        metric_spec("sharpe")
    assert all(spec.name == name and spec.meaning for name, spec in METRICS.items())


def test_the_seed_is_the_name_and_the_version() -> None:
    served = serve(PLAIN, "u1")
    assert served.bucket == bucket("gpt4o-vs-mini:1", "u1")
    assert served.variant == ("A" if (served.bucket or 0.0) < 0.5 else "B")


def test_a_new_version_deals_anew() -> None:
    units = [f"u{number}" for number in range(400)]
    same = sum(serve(PLAIN, unit).variant == serve(replace(PLAIN, version=2), unit).variant for unit in units)
    assert 150 < same < 250


@pytest.mark.parametrize(
    ("options", "variant", "counted", "reason"),
    [
        ({"status": ExperimentStatus.DRAFT}, "A", False, "not_started"),
        ({"status": ExperimentStatus.PAUSED, "stored": "B"}, "A", False, "paused"),
        ({"status": ExperimentStatus.STOPPED, "stored": "B"}, "A", False, "stopped"),
        ({"status": ExperimentStatus.STOPPED, "winner": "B"}, "B", False, "winner"),
        ({"status": ExperimentStatus.RUNNING, "winner": "B", "stored": "A"}, "B", False, "winner"),
        ({"status": ExperimentStatus.STOPPED, "winner": "Z"}, "A", False, "stopped"),
        ({"stored": "B"}, "B", True, "stored"),
    ],
)
def test_every_state_serves_a_variant_with_its_reason(
    options: dict[str, Any], variant: str, counted: bool, reason: str
) -> None:
    served = serve(PLAIN, "u1", **options)
    assert (served.variant, served.in_experiment, served.reason) == (variant, counted, reason)


def test_a_stored_variant_that_no_longer_exists_is_dealt_anew() -> None:
    assert serve(PLAIN, "u1", stored="Z") == serve(PLAIN, "u1")


def test_a_forced_unit_is_served_but_not_counted() -> None:
    served = serve(replace(PLAIN, forced={"tester": "B"}), "tester", stored="A")
    assert (served.variant, served.in_experiment, served.reason) == ("B", False, "forced")


@pytest.mark.parametrize(
    ("change", "attributes", "reason"),
    [
        ({"coverage": 0.0}, {}, "not_covered"),
        ({"targeting": {"plan": "pro"}}, {"plan": "free"}, "not_targeted"),
        ({"layer": ("l", 0.0, 0.0)}, {}, "other_layer"),
    ],
)
def test_whoever_is_not_in_gets_control(change: dict[str, Any], attributes: dict[str, Any], reason: str) -> None:
    served = serve(replace(PLAIN, **change), "u1", attributes=attributes)
    assert (served.variant, served.in_experiment, served.reason) == ("A", False, reason)


def test_targeted_units_are_dealt_by_the_unit_whatever_their_attributes_say() -> None:
    design = replace(PLAIN, targeting={"plan": "pro"})
    assert serve(design, "u1", attributes={"plan": "pro", "id": "u2"}).bucket == serve(PLAIN, "u1").bucket


def test_the_unit_is_the_user_the_episode_or_the_time_block() -> None:
    at = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
    parts: dict[str, Any] = {"user_id": "u1", "episode": "BTCUSDT|1H|x", "at": at}
    units = {kind: unit_of(replace(PLAIN, design=kind), **parts) for kind in Design}
    assert units[Design.USER] == "u1"
    assert units[Design.SIGNAL] == units[Design.PAIRED] == "BTCUSDT|1H|x"
    switchback = replace(PLAIN, design=Design.SWITCHBACK, block=timedelta(hours=4))
    assert unit_of(switchback, at=at) == unit_of(switchback, at=at + timedelta(hours=2, minutes=29))
    assert unit_of(switchback, at=at) != unit_of(switchback, at=at + timedelta(hours=2, minutes=30))
    assert unit_of(switchback) is None
    with pytest.raises(InvalidInputError, match="naive"):
        unit_of(switchback, at=at.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("timeframe", "start"),
    [
        ("15m", "2026-05-14T13:30"),
        ("1H", "2026-05-14T13:00"),
        ("4H", "2026-05-14T12:00"),
        ("1D", "2026-05-14T00:00"),
        ("1W", "2026-05-11T00:00"),
        ("1M", "2026-05-01T00:00"),
        ("3M", "2026-04-01T00:00"),
    ],
)
def test_a_bar_starts_where_charts_start_it(timeframe: str, start: str) -> None:
    at = datetime(2026, 5, 14, 13, 44, 59, 999999, tzinfo=UTC)
    assert bar_start(at, timeframe) == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert bar_start(at.astimezone(timezone(timedelta(hours=5, minutes=30))), timeframe) == bar_start(at, timeframe)


def test_signals_of_one_candle_share_their_episode_however_the_market_is_spelled() -> None:
    first = episode_key("BTC/USDT", "1h", datetime(2026, 5, 14, 13, 1, tzinfo=UTC))
    assert first == "BTCUSDT|1H|2026-05-14T13:00Z"
    assert episode_key("btc-usdt", "60", datetime(2026, 5, 14, 13, 59, tzinfo=UTC)) == first
    assert episode_key("BTCUSDT", "1H", datetime(2026, 5, 14, 14, 0, tzinfo=UTC)) != first
    assert episode_key("BTCUSDT", "swing", datetime(2026, 5, 14, 13, 30, tzinfo=UTC)) == first


def test_bars_of_naive_times_and_of_no_timeframe_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="naive"):
        episode_key("BTCUSDT", "1H", datetime(2026, 5, 14))  # noqa: DTZ001
    for timeframe in ("swing", "0m", ""):
        with pytest.raises(InvalidInputError, match="timeframe"):
            bar_start(datetime(2026, 5, 14, tzinfo=UTC), timeframe)


def test_coverage_grows_or_a_new_version_starts() -> None:
    assert check_coverage_growth(0.1, 0.5) == 0.5
    for new in (0.05, 1.2, float("nan")):
        with pytest.raises(InvalidInputError, match="only grows"):
            check_coverage_growth(0.1, new)


def test_overlapping_slices_of_a_layer_are_found_and_free_ones_given() -> None:
    taken = {"one": ("prompts", 0.0, 0.4), "two": ("prompts", 0.6, 0.8), "other": ("engines", 0.0, 1.0)}
    assert layer_conflicts(("prompts", 0.3, 0.7), taken) == ("one", "two")
    assert layer_conflicts(("prompts", 0.4, 0.6), taken) == ()
    assert free_slice("prompts", 0.2, list(taken.values())) == ("prompts", 0.4, 0.6)
    assert free_slice("prompts", 0.3, list(taken.values())) is None
    assert free_slice("new", 0.3, []) == ("new", 0.0, 0.3)
    assert free_slice("engines", 0.1, list(taken.values())) is None
