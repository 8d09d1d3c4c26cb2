"""Exports: what was known when stands apart, time never leaks between parts, files are whole and described."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
import tracemalloc
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from stateful_engine.domain.clock import to_epoch_us
from stateful_engine.errors import ConfigurationError, InvalidInputError, MissingExtraError
from stateful_engine.extension import Runtime
from stateful_engine.services.export import Export, ExportOptions, export
from stateful_engine.services.export_files import ExportFormat
from stateful_engine.services.export_tables import ExportKind, Role, table_of
from stateful_engine.storage import bulk, journal, recommendations
from stateful_engine.storage.tables import table as table_named
from tests.factories import MOMENT, query_data, response_data, signal_data

DAY = timedelta(days=1)


@pytest.fixture
def exporter(runtime: Runtime) -> Export:
    return Export(runtime.database, runtime.recorder)


def insert_signals(runtime: Runtime, count: int, **changes: Callable[[int], Any]) -> None:
    """Signals an hour apart from `MOMENT` on, every second one closed five hours later."""
    for first in range(0, count, 2000):
        rows = [_signal(number, changes) for number in range(first, min(first + 2000, count))]
        with runtime.database.connection() as connection:
            bulk.insert_new(connection, table_named("signal_history"), rows)


def _signal(number: int, changes: dict[str, Callable[[int], Any]]) -> dict[str, Any]:
    created_at = MOMENT + timedelta(hours=number) - timedelta(days=3000)
    row = {
        "signal_id": f"sig_{number:012x}_1",
        "symbol": "BTCUSDT",
        "timeframe": "1H",
        "action": "BUY",
        "confidence": 50.0 + number % 50,
        "entry_price": 100.0,
        "is_executed": False,
        "outcome": "WIN" if number % 2 else "PENDING",
        "r_multiple": 1.5 if number % 2 else None,
        "closed_at": created_at + timedelta(hours=5) if number % 2 else None,
        "created_at": created_at,
        "updated_at": created_at,
        "extra": {"note": number},
    }
    return row | {name: make(number) for name, make in changes.items()}


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def moments(rows: list[dict[str, str]], name: str) -> list[datetime]:
    return [datetime.fromisoformat(row[name]) for row in rows if row[name]]


def test_features_stand_apart_from_what_came_later(runtime: Runtime, exporter: Export, tmp_path: Path) -> None:
    signal_id = runtime.state_manager.save_signal_history(signal_data(), {"user_agent": "agent", "ip_address": "::1"})
    runtime.state_manager.execute(signal_id, 45_010.0)
    runtime.state_manager.record_outcome(signal_id, exit_price=46_500.0)

    manifest = exporter.write("signals", tmp_path)

    (row,) = read_csv(tmp_path / "signals.csv")
    assert (row["signal_id"], row["symbol"], row["confidence"]) == (signal_id, "BTCUSDT", "85.5")
    assert (row["post_is_executed"], row["post_execution_price"]) == ("1", "45010.0")
    assert (row["y_outcome"], row["y_win"]) == ("WIN", "1")
    assert float(row["y_r_multiple"]) == pytest.approx(1500 / 800)
    assert json.loads(row["smc_analysis"])["choch"] is True
    assert datetime.fromisoformat(row["feature_ts"]) <= datetime.fromisoformat(row["label_ts"])
    roles = {column["name"]: column["role"] for column in manifest["columns"]}
    assert list(roles) == list(row)
    for name, role in roles.items():
        assert name.startswith("post_") == (role == "post")
        assert name.startswith("y_") == (role == "label")
    assert not {"user_agent", "ip_address"} & set(row)


@pytest.mark.parametrize("kind", list(ExportKind))
def test_no_column_that_changes_after_creation_is_a_feature(kind: ExportKind) -> None:
    table = table_of(kind)
    changing = table.model.__table__.info.get("changing", frozenset()) - {"extra"}
    features = {column.name for column in table.columns if column.role in {Role.FEATURE, Role.ID}}
    assert not features & changing
    assert len(set(table.names)) == len(table.names)


def test_what_the_resolver_notes_in_extra_is_no_feature(runtime: Runtime, exporter: Export, tmp_path: Path) -> None:
    insert_signals(runtime, 2, extra=lambda number: {"resolution": {"best_price": 1}, **({"a": 1} if number else {})})
    exporter.write("signals", tmp_path)
    assert [row["extra"] for row in read_csv(tmp_path / "signals.csv")] == ["", '{"a":1}']


def test_the_manifest_names_the_files_with_their_hash(runtime: Runtime, exporter: Export, tmp_path: Path) -> None:
    insert_signals(runtime, 10)
    manifest = exporter.write("signals", tmp_path, options=ExportOptions(split=(0.8, 0.2)))
    assert json.loads((tmp_path / "signals-manifest.json").read_bytes()) == manifest
    assert manifest["schema_version"] == 1
    for file in manifest["files"]:
        content = (tmp_path / file["name"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["bytes"] == len(content)
        assert file["rows"] == content.count(b"\n") - 1


def test_parts_follow_each_other_in_time_and_nothing_leaks(runtime: Runtime, exporter: Export, tmp_path: Path) -> None:
    insert_signals(runtime, 400)
    options = ExportOptions(split=(0.5, 0.25, 0.25), embargo=timedelta(hours=10))

    manifest = exporter.write("signals", tmp_path, options=options)

    train, validation, test = (read_csv(tmp_path / f"signals-{name}.csv") for name in ("train", "validation", "test"))
    begins = [datetime.fromisoformat(file["begin"]) for file in manifest["files"][1:]]
    for part, begin, following in ((train, begins[0], validation), (validation, begins[1], test)):
        assert moments(part, "feature_ts") == sorted(moments(part, "feature_ts"))
        assert max(moments(part, "feature_ts")) < begin
        assert max(moments(part, "label_ts")) < begin
        assert min(moments(following, "feature_ts")) >= begin + timedelta(hours=10)
    left_out = manifest["left_out"]
    assert left_out == {"purged": 6, "embargoed": 20}
    assert len(train) + len(validation) + len(test) + sum(left_out.values()) == 400


def test_a_label_from_a_candle_counts_as_known_when_the_candle_closed(
    runtime: Runtime, exporter: Export, tmp_path: Path
) -> None:
    insert_signals(runtime, 100, resolved_by=lambda number: "barrier", timeframe=lambda number: "4H")
    manifest = exporter.write("signals", tmp_path, options=ExportOptions(split=(0.5, 0.5)))
    assert manifest["left_out"] == {"purged": 5}


def test_purging_can_be_switched_off_and_unlabelled_rows_left_out(
    runtime: Runtime, exporter: Export, tmp_path: Path
) -> None:
    insert_signals(runtime, 100)
    manifest = exporter.write(
        "signals", tmp_path, options=ExportOptions(split=(0.5, 0.5), purge=False, labelled_only=True)
    )
    assert manifest["left_out"] == {"unlabelled": 50}
    assert [file["rows"] for file in manifest["files"]] == [25, 25]
    assert [file["labelled_rows"] for file in manifest["files"]] == [25, 25]


def test_a_window_takes_its_begin_and_leaves_its_end(runtime: Runtime, exporter: Export, tmp_path: Path) -> None:
    insert_signals(runtime, 10)
    begin = MOMENT - timedelta(days=3000)
    options = ExportOptions(since=begin + timedelta(hours=2), until=begin + timedelta(hours=5))
    exporter.write("signals", tmp_path, options=options)
    found = [row["signal_id"] for row in read_csv(tmp_path / "signals.csv")]
    assert found == [f"sig_{number:012x}_1" for number in (2, 3, 4)]


def test_rows_of_one_moment_come_in_the_order_of_their_ids_however_batches_fall(
    runtime: Runtime, exporter: Export, tmp_path: Path
) -> None:
    insert_signals(runtime, 2500, created_at=lambda number: MOMENT - timedelta(days=number // 1300))
    exporter.write("signals", tmp_path)
    rows = read_csv(tmp_path / "signals.csv")
    expected = [*range(1300, 2500), *range(1300)]
    assert [int(row["signal_id"].split("_")[1], 16) for row in rows] == expected


def test_json_lines_keep_their_types(runtime: Runtime, exporter: Export, tmp_path: Path) -> None:
    insert_signals(runtime, 2)
    exporter.write("signals", tmp_path, file_format="jsonl")
    first, second = (json.loads(line) for line in (tmp_path / "signals.jsonl").read_text("utf-8").splitlines())
    assert (first["y_win"], second["y_win"]) == (None, 1)
    assert (first["post_is_executed"], first["extra"], first["confidence"]) == (False, {"note": 0}, 50.0)
    assert second["label_ts"].endswith("+00:00")


def test_parquet_has_typed_columns(runtime: Runtime, exporter: Export, tmp_path: Path) -> None:
    import pyarrow.parquet

    insert_signals(runtime, 2500)
    manifest = exporter.write("signals", tmp_path, file_format=ExportFormat.PARQUET)
    table = pyarrow.parquet.read_table(tmp_path / "signals.parquet")
    assert table.num_rows == 2500
    assert str(table.schema.field("feature_ts").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("confidence").type) == "double"
    assert str(table.schema.field("post_is_executed").type) == "bool"
    assert table.column_names == [column["name"] for column in manifest["columns"]]
    first = table.slice(1, 1).to_pylist()[0]
    assert (first["y_win"], json.loads(first["extra"])) == (1, {"note": 1})
    assert to_epoch_us(first["feature_ts"]) == to_epoch_us(MOMENT - timedelta(days=3000) + timedelta(hours=1))


def test_parquet_without_its_extra_says_which_one(
    exporter: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"stateful_engine\[parquet\]"):
        exporter.write("signals", tmp_path, file_format="parquet")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_that_a_spreadsheet_would_run_is_neutralised_and_numbers_are_not(
    runtime: Runtime, exporter: Export, tmp_path: Path, start: str
) -> None:
    formula = f'{start}HYPERLINK("http://x")'
    insert_signals(runtime, 1, ai_reasoning=lambda _: formula, pnl_percentage=lambda _: -1.5)
    exporter.write("signals", tmp_path)
    exporter.write("signals", tmp_path, file_format="jsonl")
    (row,) = read_csv(tmp_path / "signals.csv")
    assert (row["ai_reasoning"], row["y_pnl_percentage"]) == ("'" + formula, "-1.5")
    assert json.loads((tmp_path / "signals.jsonl").read_bytes())["ai_reasoning"] == formula


def test_queries_and_interactions_are_exported_too(runtime: Runtime, exporter: Export, tmp_path: Path) -> None:
    runtime.state_manager.log_gpt_query(query_data(), response_data(feedback_rating=5))
    signal_id = runtime.state_manager.save_signal_history(signal_data())
    runtime.state_manager.track_user_interaction(signal_id, {"type": "CLICK", "source": "WEB", "data": {"a": 1}})

    exporter.write("queries", tmp_path)
    exporter.write("interactions", tmp_path)

    (query,) = read_csv(tmp_path / "queries.csv")
    assert (query["user_query"], query["post_response_status"]) == ("Give me Bitcoin signal", "200")
    assert query["y_feedback_rating"] == "5"
    kinds = [row["interaction_type"] for row in read_csv(tmp_path / "interactions.csv")]
    assert kinds == ["SIGNAL_GENERATED", "CLICK"]


def test_a_recommendation_is_labelled_when_its_ticket_was_closed(
    runtime: Runtime, exporter: Export, tmp_path: Path
) -> None:
    shared = {"user_id": "u", "symbol": "BTCUSDT", "direction": "BUY", "executed": True, "created_at": MOMENT}
    with runtime.database.transaction() as session:
        recommendations.insert(session, shared | {"result_pnl": 5.0, "result_r": 1.0, "execution_ticket": "7"})
        recommendations.insert(session, shared | {"result_pnl": -5.0, "execution_ticket": "8"})
        recommendations.insert(session, shared | {"executed": False})
        journal.insert(session, {"event": "trade_closed", "ticket": "7", "timestamp": MOMENT + DAY})

    manifest = exporter.write("recommendations", tmp_path)

    rows = read_csv(tmp_path / "recommendations.csv")
    assert [row["y_win"] for row in rows] == ["1", "0", ""]
    assert moments(rows, "label_ts") == [MOMENT + DAY]
    assert (manifest["label_time_unknown"], manifest["files"][0]["labelled_rows"]) == (1, 2)


def test_memory_does_not_grow_with_the_table(runtime: Runtime, exporter: Export, tmp_path: Path) -> None:
    shared = {"interaction_type": "CLICK", "interaction_source": "WEB", "interaction_data": {"a": 1}}
    with runtime.database.connection() as connection:
        rows = [
            shared | {"interaction_id": f"int_{number}", "created_at": MOMENT - timedelta(minutes=number)}
            for number in range(50_000)
        ]
        bulk.insert_new(connection, table_named("user_interaction"), rows)
    rows.clear()
    peaks: list[int] = []
    tracemalloc.start()
    try:
        exporter.write("interactions", tmp_path, progress=lambda *_: peaks.append(tracemalloc.get_traced_memory()[1]))
    finally:
        tracemalloc.stop()
    assert len(read_csv(tmp_path / "interactions.csv")) == 50_000
    assert peaks[-1] < 1.2 * peaks[len(peaks) // 5]


def test_an_export_that_fails_leaves_no_file_and_keeps_the_one_before(
    runtime: Runtime, exporter: Export, tmp_path: Path
) -> None:
    insert_signals(runtime, 3)
    exporter.write("signals", tmp_path)
    before = (tmp_path / "signals.csv").read_bytes()

    def fail(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    insert_signals(runtime, 6)
    with pytest.raises(KeyboardInterrupt):
        exporter.write("signals", tmp_path, progress=fail)
    assert (tmp_path / "signals.csv").read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("*signals*")) == ["signals-manifest.json", "signals.csv"]


def test_an_empty_table_gives_files_with_a_header(exporter: Export, tmp_path: Path) -> None:
    manifest = exporter.write("signals", tmp_path / "deep" / "er", options=ExportOptions(split=(0.7, 0.15, 0.15)))
    assert [file["rows"] for file in manifest["files"]] == [0, 0, 0]
    assert (tmp_path / "deep" / "er" / "signals-train.csv").read_text("utf-8").startswith("signal_id,")


def test_options_that_cannot_be_meant_are_refused(exporter: Export, tmp_path: Path) -> None:
    for split in ((0.5, 0.4), (1.0,), (1.2, -0.2), (0.25, 0.25, 0.25, 0.25)):
        with pytest.raises(InvalidInputError):
            ExportOptions(split=split)
    with pytest.raises(InvalidInputError, match="use one of signals"):
        exporter.write("everything", tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError, match="name another folder"):
        exporter.write("signals", tmp_path / "file")


def test_the_current_app_is_exported(app: Flask, runtime: Runtime, tmp_path: Path) -> None:
    runtime.state_manager.save_signal_history(signal_data())
    with app.app_context():
        assert export("signals", tmp_path)["files"][0]["rows"] == 1
