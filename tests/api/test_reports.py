from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from stateful_engine.domain import metrics
from stateful_engine.errors import SchemaError
from tests.api.calls import PREFIX, assert_refused, track
from tests.factories import play_history, query_data

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient

    from stateful_engine.extension import Runtime
    from tests.factories import FakeClock


def test_the_figures_of_the_guide_come_out(client: FlaskClient, app: Flask, runtime: Runtime) -> None:
    with app.app_context():
        play_history(runtime.state_manager, signals=156, executed=89, wins=67, losses=22)

    figures = client.get(f"{PREFIX}/analytics/signals?days=30").json["analytics"]

    assert (figures["total_signals"], figures["executed_signals"], figures["execution_rate"]) == (156, 89, 57.05)
    assert (figures["winning_signals"], figures["win_rate"]) == (67, 75.28)
    assert figures["top_symbols"][0]["symbol"] == "BTCUSDT"
    assert figures["top_symbols"][0]["count"] == 156


def test_reports_without_data_are_zero_and_hold_no_nan(client: FlaskClient) -> None:
    for kind in ("signals", "queries", "interactions", "summary"):
        answer = client.get(f"{PREFIX}/analytics/{kind}")
        assert answer.status_code == 200
        assert "NaN" not in answer.text
        assert "Infinity" not in answer.text
    figures = client.get(f"{PREFIX}/analytics/signals").json["analytics"]
    assert (figures["total_signals"], figures["execution_rate"], figures["win_rate"]) == (0, 0, 0)


def test_the_report_on_signals_says_what_its_results_rest_on(
    client: FlaskClient, runtime: Runtime, clock: FakeClock
) -> None:
    results = [("WIN", 46500.0)] * 12 + [("LOSS", 44200.0)] * 12
    for outcome, price in results:
        signal_id = track(client)
        clock.advance(minutes=1)
        runtime.state_manager.record_outcome(signal_id, outcome, exit_price=price)
    figures = client.get(f"{PREFIX}/analytics/signals").json["analytics"]

    in_r = [1.875] * 12 + [-1.0] * 12
    mean, spread = statistics.fmean(in_r), statistics.stdev(in_r)
    reach = 1.959964 * spread / math.sqrt(24)
    assert figures["total_r"] == pytest.approx(sum(in_r))
    assert figures["expectancy_n"] == figures["avg_r_n"] == 24
    assert figures["expectancy_ci"] == [round(mean - reach, 2), round(mean + reach, 2)]
    assert figures["break_even_win_rate"] == round(100 * metrics.break_even_win_rate(in_r), 2)
    assert figures["max_drawdown"] == figures["current_drawdown"] == 12.0
    assert (figures["ambiguous_wins"], figures["ambiguous_losses"]) == (0, 0)


def test_an_interval_of_few_results_is_withheld(client: FlaskClient, runtime: Runtime) -> None:
    runtime.state_manager.record_outcome(track(client), "WIN", exit_price=46500.0)
    figures = client.get(f"{PREFIX}/analytics/signals").json["analytics"]

    assert figures["total_r"] == 1.875
    assert figures["expectancy_ci"] is None
    assert figures["break_even_win_rate"] is None


def test_a_write_is_in_the_next_report(client: FlaskClient) -> None:
    def total() -> int:
        figures = client.get(f"{PREFIX}/analytics/signals").json["analytics"]
        return int(figures["total_signals"])

    assert total() == 0
    track(client)
    assert total() == 1
    track(client)
    assert total() == 2


def test_reports_on_queries_and_interactions_count_what_was_recorded(client: FlaskClient) -> None:
    signal_id = track(client)
    client.post(f"{PREFIX}/signal/{signal_id}/interaction", json={"interaction_type": "CLICK", "user_id": "u1"})
    client.post(f"{PREFIX}/log-query", json={"query_data": query_data(), "response_data": {"status_code": 500}})

    queries = client.get(f"{PREFIX}/analytics/queries").json["analytics"]
    acted = client.get(f"{PREFIX}/analytics/interactions").json["analytics"]
    summary = client.get(f"{PREFIX}/analytics/summary").json["analytics"]

    assert (queries["total_queries"], queries["successful_queries"]) == (1, 0)
    assert acted["total_interactions"] == 2
    assert summary["summary"]["total_signals_today"] == 1


def test_cleanup_counts_first_and_deletes_when_told(client: FlaskClient, clock: FakeClock) -> None:
    old = track(client)
    clock.advance(days=100)
    new = track(client)
    url = f"{PREFIX}/maintenance/cleanup"

    counted = client.post(url, json={"days_to_keep": 90, "dry_run": True}).json
    assert (counted["deleted_signals"], counted["deleted_interactions"], counted["dry_run"]) == (1, 1, True)
    assert client.get(f"{PREFIX}/signal/{old}").status_code == 200

    deleted = client.post(url, json={}).json
    assert (deleted["deleted_signals"], deleted["deleted_queries"], deleted["dry_run"]) == (1, 0, False)
    left = client.get(f"{PREFIX}/signal-history?days=0").json["signals"]
    assert [signal["signal_id"] for signal in left] == [new]


def test_health_shows_the_recorder_without_asking_the_database(
    client: FlaskClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "database", None)

    health = client.get(f"{PREFIX}/health").json

    assert health["status"] == "ok"
    assert health["recorder"]["pending_records"] == 0
    assert {"pending_bytes", "oldest_age_seconds", "dropped", "rejected", "writer_alive"} <= set(health["recorder"])


def test_ready_asks_the_database(client: FlaskClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = client.get(f"{PREFIX}/ready")
    assert (answer.status_code, answer.json["status"]) == (200, "ready")
    assert answer.json["database"] == runtime.database.dialect

    def fail() -> None:
        raise SchemaError("the tables are missing; run `flask stateful db upgrade`")

    monkeypatch.setattr(runtime.database, "require_ready", fail)
    refused = client.get(f"{PREFIX}/ready")
    assert_refused(refused, 503, "SCHEMA_NOT_READY")
    assert "Retry-After" in refused.headers


def figures_of(text: str) -> dict[str, float]:
    """The series of a Prometheus text by name and labels."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_metrics_count_what_was_written_and_show_the_spool(client: FlaskClient, runtime: Runtime) -> None:
    track(client)
    runtime.guard.count("unrecognised_shapes", 3)

    answer = client.get(f"{PREFIX}/metrics")

    assert answer.content_type.startswith("text/plain; version=0.0.4")
    figures = figures_of(answer.text)
    assert figures['stateful_engine_rows_written_total{table="signal_history"}'] == 1
    assert figures['stateful_engine_rows_written_total{table="user_interaction"}'] == 1
    assert figures['stateful_engine_events_total{event="unrecognised_shapes"}'] == 3
    assert figures["stateful_engine_records_dropped_total"] == 0
    assert figures["stateful_engine_spool_pending_bytes"] == 0
    assert figures["stateful_engine_writer_alive"] == 1
    assert "# TYPE stateful_engine_rows_written_total counter" in answer.text


def test_metrics_show_the_stream_where_there_is_one(
    client: FlaskClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = replace(runtime.recorder.status(), stream_lag=3)
    monkeypatch.setattr(runtime.recorder, "status", lambda: status)

    figures = figures_of(client.get(f"{PREFIX}/metrics").text)

    assert figures["stateful_engine_stream_lag_records"] == 3


def test_metrics_of_two_processes_are_one(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    one, other = (make_app(STATEFUL_SPOOL_DIR=str(folder)).test_client() for _ in range(2))
    track(one)
    track(other)
    one.get(f"{PREFIX}/metrics")

    figures = figures_of(other.get(f"{PREFIX}/metrics").text)

    assert figures['stateful_engine_rows_written_total{table="signal_history"}'] == 2
