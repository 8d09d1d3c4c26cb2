"""Experiments: assigned once, stamped on what is made under them, judged on every exposed signal."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from stateful_engine.errors import ConflictError, InvalidInputError, NotFoundError
from stateful_engine.extension import Runtime
from stateful_engine.services.experiment_assignment import Assignment as ServedVariant
from stateful_engine.services.experiments import Experiments
from stateful_engine.storage.database import Database
from stateful_engine.storage.experiments import Assignment
from stateful_engine.storage.gpt_queries import QueryFilters

LONG = {"symbol": "BTCUSDT", "timeframe": "1H", "action": "BUY", "entry_price": 100.0, "stop_loss": 98.0}


@pytest.fixture
def experiments(runtime: Runtime) -> Experiments:
    return Experiments(runtime.database)


def started(experiments: Experiments, name: str = "prompt-v2", **design: Any) -> Experiments:
    experiments.create(name, {"prompt": "v1"}, {"prompt": "v2"}, **design)
    experiments.start(name)
    return experiments


def test_a_unit_keeps_its_variant_whatever_happens_to_the_process(runtime: Runtime, experiments: Experiments) -> None:
    started(experiments)
    first = {user: experiments.assign("prompt-v2", user).variant for user in range(100)}
    assert set(first.values()) == {"A", "B"}
    elsewhere = Experiments(database_url=runtime.database.engine.url.render_as_string(hide_password=False))
    assert {user: elsewhere.assign("prompt-v2", user).variant for user in range(100)} == first


def test_sixteen_threads_and_a_hundred_users_make_one_row_each(runtime: Runtime, experiments: Experiments) -> None:
    started(experiments)
    seen: list[dict[int, str]] = []
    errors: list[Exception] = []
    start = threading.Barrier(16)

    def assign_all() -> None:
        try:
            start.wait()
            seen.append({user: experiments.assign("prompt-v2", user).variant for user in range(100)})
        except Exception as error:  # noqa: BLE001  whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=assign_all) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all(one == seen[0] for one in seen)
    with runtime.database.reading() as session:
        assert session.query(Assignment).count() == 100


def test_the_same_users_get_the_same_variants_on_a_fresh_database_of_either_kind(experiments: Experiments) -> None:
    started(experiments)
    assert "".join(experiments.assign("prompt-v2", user).variant for user in range(24)) == "AAABBABBBBABBABABBBBAAAB"


def test_the_config_of_the_variant_is_served(experiments: Experiments) -> None:
    started(experiments)
    served = {experiments.assign("prompt-v2", user).variant: user for user in range(50)}
    assert experiments.assign("prompt-v2", served["A"]).config == {"prompt": "v1"}
    assert experiments.assign("prompt-v2", served["B"]).config == {"prompt": "v2"}


def test_assign_answers_in_every_situation(experiments: Experiments) -> None:
    assert experiments.assign("no-such-thing", 1).variant == "A"
    assert experiments.assign("no-such-thing", 1).reason == "unknown_experiment"
    started(experiments)
    assert experiments.assign("prompt-v2", None).reason == "unit_missing"
    experiments.pause("prompt-v2")
    assert {experiments.assign("prompt-v2", user).reason for user in range(20)} == {"paused"}
    assert {experiments.assign("prompt-v2", user).variant for user in range(20)} == {"A"}
    experiments.start("prompt-v2")
    experiments.declare("prompt-v2", "B")
    assert {experiments.assign("prompt-v2", user).variant for user in range(20)} == {"B"}


def test_a_database_that_is_away_serves_control_with_the_reason() -> None:
    away = Experiments(Database("postgresql://nobody@127.0.0.1:1/nowhere"))
    served = away.assign("prompt-v2", 1)
    assert (served.variant, served.reason) == ("A", "storage_unavailable")
    with away.exposed(served):
        pass


def test_an_exposure_that_cannot_be_noted_shows_nobody_anything_else_and_is_counted_by_the_app(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(STATEFUL_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nowhere")
    runtime: Runtime = app.extensions["stateful_engine"]
    served = ServedVariant("prompt-v2", "B", {"prompt": "v2"}, "assigned", "7", in_experiment=True)
    with Experiments(runtime).exposed(served) as shown:
        assert shown is served
    assert runtime.guard.snapshot()["failed_note_an_exposure"] == 1


def test_what_is_made_inside_the_block_carries_the_variant_and_nothing_else_does(
    runtime: Runtime, experiments: Experiments
) -> None:
    started(experiments)
    assignment = experiments.assign("prompt-v2", 7)
    with experiments.exposed(assignment):
        inside = runtime.state_manager.save_signal_history(LONG)
        query = runtime.state_manager.log_gpt_query({"endpoint": "/x"}, {"status_code": 200})
    outside = runtime.state_manager.save_signal_history(LONG)
    signal = runtime.state_manager.get_signal(inside) or {}
    assert (signal["experiment"], signal["variant"]) == ("prompt-v2", assignment.variant)
    assert signal["extra"]["experiment_unit"] == "7"
    assert (runtime.state_manager.get_signal(outside) or {})["experiment"] is None
    [logged] = runtime.state_manager.query_page(QueryFilters(), None, 10).items
    assert (logged["query_id"], logged["experiment"]) == (query, "prompt-v2")


def test_stamps_of_concurrent_tasks_do_not_mix(runtime: Runtime, experiments: Experiments) -> None:
    started(experiments)
    units = {experiments.assign("prompt-v2", user).variant: user for user in range(50)}

    async def answer(user: int) -> str:
        with experiments.exposed(experiments.assign("prompt-v2", user)):
            await asyncio.sleep(0)
            return runtime.state_manager.save_signal_history(LONG)

    async def both() -> list[str]:
        return await asyncio.gather(answer(units["A"]), answer(units["B"]))

    made = asyncio.run(both())
    assert [(runtime.state_manager.get_signal(one) or {})["variant"] for one in made] == ["A", "B"]


def test_results_count_every_exposed_signal_at_its_horizon(
    runtime: Runtime, experiments: Experiments, clock: Any
) -> None:
    started(experiments, horizon_seconds=3600)
    for user in range(40):
        with experiments.exposed(experiments.assign("prompt-v2", user)):
            signal_id = runtime.state_manager.save_signal_history(LONG)
        if user % 2:
            runtime.state_manager.record_outcome(signal_id, exit_price=104.0)
    runtime.flush()
    early = experiments.results("prompt-v2")
    assert early["verdict"]["state"] == "COLLECTING"
    assert early["maturity"]["share"] == 0
    clock.advance(hours=2)
    late = experiments.results("prompt-v2", mark=lambda symbol, at: 99.0)
    arms = late["arms"]
    assert sum(arm["metrics"]["expectancy_r"]["n"] for arm in arms.values()) == 40
    total = sum(arm["metrics"]["expectancy_r"]["mean"] * arm["metrics"]["expectancy_r"]["n"] for arm in arms.values())
    assert total == pytest.approx(20 * 2.0 + 20 * -0.5, abs=1e-3)
    unmarked = experiments.results("prompt-v2")["maturity"]["arms"]
    assert sum(arm["unmarked"] for arm in unmarked.values()) == 20
    assert sum(arm["exposed_units"] for arm in arms.values()) == 40


def test_signals_of_one_candle_are_one_cluster(runtime: Runtime, experiments: Experiments, clock: Any) -> None:
    started(experiments, design="signal", horizon_seconds=3600)
    for hour in range(6):
        at = clock.now() + timedelta(hours=hour)
        assignment = experiments.assign("prompt-v2", episode=f"BTCUSDT|1H|{at:%Y-%m-%dT%H:00Z}")
        with experiments.exposed(assignment):
            for _ in range(3):
                runtime.state_manager.save_signal_history(LONG)
        clock.advance(hours=1)
    runtime.flush()
    arms = experiments.results("prompt-v2")["arms"].values()
    assert sum(arm["signals"] for arm in arms) == 18
    assert sum(arm["metrics"]["execution_rate"]["clusters"] for arm in arms) == 6


def test_a_change_after_the_start_is_a_new_version_that_deals_anew(experiments: Experiments) -> None:
    started(experiments, coverage=0.5)
    before = {user: experiments.assign("prompt-v2", user).variant for user in range(60)}
    assert experiments.change("prompt-v2", coverage=1.0)["version"] == 1
    assert all(
        experiments.assign("prompt-v2", user).variant == before[user] for user in range(60) if before[user] == "B"
    )
    with pytest.raises(InvalidInputError, match="only grows"):
        experiments.change("prompt-v2", coverage=0.2)
    assert experiments.change("prompt-v2", weight_a=0.9)["version"] == 2
    assert {user: experiments.assign("prompt-v2", user).variant for user in range(60)} != before
    assert len(experiments.snapshots("prompt-v2")) == 1


def test_a_declaration_ends_a_running_experiment_and_keeps_its_results(experiments: Experiments) -> None:
    started(experiments)
    experiments.assign("prompt-v2", 1)
    assert experiments.declare("prompt-v2", "B")["status"] == "stopped"
    [kept] = experiments.snapshots("prompt-v2")
    assert kept["results"]["status"] == "running"
    assert experiments.get_snapshot("prompt-v2", kept["snapshot_id"]) == kept
    experiments.declare("prompt-v2", None)
    experiments.declare("prompt-v2", "A")
    assert len(experiments.snapshots("prompt-v2")) == 1


def test_experiments_of_one_layer_share_no_unit(experiments: Experiments) -> None:
    started(experiments, "first", layer=("models", 0.0, 0.5))
    experiments.create("second", "a", "b", layer=("models", 0.4, 1.0))
    with pytest.raises(ConflictError, match="overlaps first"):
        experiments.start("second")
    started(experiments, "third", layer=("models", 0.5, 1.0))
    both = [
        user
        for user in range(200)
        if experiments.assign("first", user).in_experiment and experiments.assign("third", user).in_experiment
    ]
    assert both == []


@pytest.mark.parametrize(
    "design",
    [
        {"weight_a": 1.5},
        {"weight_a": float("nan")},
        {"primary_metric": "happiness"},
        {"coverage": 2},
        {"design": "astrology"},
        {"alpha": 0.0001, "guardrails": ["nope"]},
        {"colour": "red"},
        {"horizon_seconds": -5},
    ],
)
def test_a_design_that_cannot_be_run_is_refused(experiments: Experiments, design: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        experiments.create("broken", "a", "b", **design)
    with pytest.raises(NotFoundError):
        experiments.get("broken")


def test_a_name_is_taken_once(experiments: Experiments) -> None:
    experiments.create("once", "a", "b")
    with pytest.raises(ConflictError, match="choose another name"):
        experiments.create("once", "a", "b")


def test_an_experiment_without_data_says_so(experiments: Experiments) -> None:
    started(experiments)
    results = experiments.results("prompt-v2")
    assert results["verdict"]["state"] == "COLLECTING"
    assert results["arms"]["A"]["metrics"]["expectancy_r"]["mean"] is None


def test_both_engines_of_a_pair_answer_and_only_one_is_shown(
    runtime: Runtime, experiments: Experiments, clock: Any
) -> None:
    started(experiments, design="paired", horizon_seconds=3600)
    for hour in range(4):
        served = experiments.assign("prompt-v2", episode=f"BTCUSDT|1H|{hour}")
        other = experiments.shadow(served)
        assert {served.variant, other.variant} == {"A", "B"}
        assert (other.config != served.config, other.reason) == (True, "shadow")
        for assignment in (served, other):
            with experiments.exposed(assignment):
                signal_id = runtime.state_manager.save_signal_history(LONG)
            runtime.state_manager.record_outcome(signal_id, exit_price=102.0 if assignment.variant == "A" else 104.0)
        clock.advance(hours=1)
    clock.advance(hours=1)
    arms = experiments.results("prompt-v2")["arms"]
    assert [arms[name]["metrics"]["expectancy_r"]["mean"] for name in "AB"] == [1.0, 2.0]
    assert sum(arm["exposed_units"] for arm in arms.values()) == 4


def test_outside_of_a_pair_there_is_no_shadow(experiments: Experiments) -> None:
    started(experiments)
    for assignment in (experiments.assign("prompt-v2", 1), experiments.assign("none", 1)):
        assert experiments.shadow(assignment).in_experiment is False
        assert experiments.shadow(assignment).reason == "no_shadow"


def test_a_plan_counts_in_weeks_at_the_present_volume(runtime: Runtime, experiments: Experiments, clock: Any) -> None:
    assert experiments.plan("expectancy_r", 0.5, 1.0).weeks is None
    for _ in range(40):
        runtime.state_manager.save_signal_history(LONG)
    runtime.flush()
    clock.advance(days=1)
    planned = experiments.plan("expectancy_r", 0.5, 1.0)
    assert planned.weeks == pytest.approx(planned.n_total / 10)
    assert experiments.plan("expectancy_r", 0.5, 1.0, signals_per_week=planned.n_total).weeks == 1
    away = Experiments(Database("postgresql://nobody@127.0.0.1:1/nowhere"))
    assert away.plan("expectancy_r", 0.5, 1.0).weeks is None


def play(runtime: Runtime, experiments: Experiments, exits: dict[str, list[float]], *, users: int = 160) -> None:
    """Expose people, each to one signal; those of an arm end in turn at its exit prices, or stay open without any."""
    counted = {"A": 0, "B": 0}
    for user in range(users):
        assignment = experiments.assign("prompt-v2", user)
        if assignment.variant not in exits:
            continue
        with experiments.exposed(assignment):
            signal_id = runtime.state_manager.save_signal_history(LONG)
        prices = exits[assignment.variant]
        if prices:
            price = prices[counted[assignment.variant] % len(prices)]
            runtime.state_manager.record_outcome(signal_id, exit_price=price)
            counted[assignment.variant] += 1
    runtime.flush()


@pytest.mark.parametrize(
    ("exits", "states"),
    [
        pytest.param({}, {"COLLECTING"}, id="no data"),
        pytest.param({"A": [104.0, 98.0]}, {"COLLECTING", "INVALID"}, id="one arm empty"),
        pytest.param({"A": [102.0], "B": [102.0]}, {"COLLECTING"}, id="all outcomes equal"),
        pytest.param({"A": [], "B": []}, {"COLLECTING"}, id="nothing has ended"),
        pytest.param(
            {"A": [98.0, 98.0, 101.0], "B": [98.0, 101.0, 98.0]}, {"CONTINUE", "COLLECTING"}, id="negative baseline"
        ),
    ],
)
def test_poor_data_give_a_verdict_that_says_so_and_never_a_winner(
    runtime: Runtime, experiments: Experiments, clock: Any, exits: dict[str, list[float]], states: set[str]
) -> None:
    started(
        experiments, horizon_seconds=3600, guardrails=["worst_r", "error_rate"], primaries=["expectancy_r", "win_rate"]
    )
    play(runtime, experiments, exits)
    clock.advance(days=5)
    results = experiments.results("prompt-v2")
    assert results["verdict"]["state"] in states
    assert results["verdict"]["reason"]
    json.dumps(results, allow_nan=False)
    tested = experiments.aa_test("prompt-v2", runs=100)
    assert 0 <= tested.rate <= 0.2
    assert tested.trustworthy or tested.reason or tested.interval[0] > 0.05


def test_failures_of_one_caller_are_one_cluster(runtime: Runtime, experiments: Experiments) -> None:
    started(experiments)
    served = experiments.assign("prompt-v2", 7)
    with experiments.exposed(served):
        for status in (500, 500, 500, 200):
            runtime.state_manager.log_gpt_query({"endpoint": "/x", "session_id": "s1"}, {"status_code": status})
        for _ in range(2):
            runtime.state_manager.log_gpt_query({"endpoint": "/x"}, {"status_code": 200})
    runtime.flush()
    figure = experiments.results("prompt-v2")["arms"][served.variant]["metrics"]["error_rate"]
    assert (figure["mean"], figure["clusters"], figure["n"]) == (0.5, 3, 6)


def test_names_and_naive_times_that_cannot_be_meant_are_refused(experiments: Experiments) -> None:
    for name in ("", " ", "x y", "-x", "x" * 65, None, "nul\x00"):
        with pytest.raises(InvalidInputError):
            experiments.create(name, "a", "b")  # type: ignore[arg-type]
    started(experiments, design="switchback")
    served = experiments.assign("prompt-v2", at=datetime(2026, 1, 31))  # noqa: DTZ001  naive on purpose
    assert (served.variant, served.reason, served.in_experiment) == ("A", "validation_error", False)
    with pytest.raises(InvalidInputError, match="is no variant"):
        experiments.declare("prompt-v2", "C")
    with pytest.raises(NotFoundError, match="list them"):
        experiments.get_snapshot("prompt-v2", 404)
