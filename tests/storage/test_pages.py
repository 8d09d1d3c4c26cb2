"""Pages: newest first, none twice and none left out, at the same cost at any depth."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from stateful_engine.domain.clock import EPOCH, from_epoch_us
from stateful_engine.errors import InvalidInputError
from stateful_engine.storage import gpt_queries, interactions, pages, signals
from stateful_engine.storage.database import Database
from stateful_engine.storage.pages import Place, decode_cursor, encode_cursor
from tests.storage.conftest import START_US, interaction_row, query_row, signal_row, store

SIGNALS = "signal_history"
ANY = signals.SignalFilters()


def walked(database: Database, filters: signals.SignalFilters, limit: int) -> list[dict[str, Any]]:
    """All signals by following the cursors."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        with database.reading() as session:
            page = signals.page(session, filters, cursor, limit)
        assert len(page.items) <= limit
        assert page.has_more == (page.next_cursor is not None)
        found += page.items
        if page.next_cursor is None:
            return found
        assert len(page.items) == limit
        cursor = page.next_cursor


def test_pages_go_from_the_newest_to_the_oldest_without_gap_or_repetition(database: Database) -> None:
    rows = [signal_row(created_at=START_US + random.Random(n).randrange(5)) for n in range(25)]
    store(database, SIGNALS, *rows)
    ids = [row["signal_id"] for row in rows]
    expected = sorted(ids, key=lambda name: (rows[ids.index(name)]["created_at"], ids.index(name)), reverse=True)
    for limit in (1, 4, 5, 24, 25, 26):
        assert [item["signal_id"] for item in walked(database, ANY, limit)] == expected


def test_rows_that_arrive_while_somebody_turns_pages_do_not_move_the_others(database: Database) -> None:
    store(database, SIGNALS, *(signal_row(symbol=f"OLD{n}") for n in range(4)))
    with database.reading() as session:
        first = signals.page(session, ANY, None, 2)
    store(database, SIGNALS, signal_row(symbol="NEW", created_at=START_US + 10**12))
    with database.reading() as session:
        second = signals.page(session, ANY, first.next_cursor, 2)
    assert [item["symbol"] for item in (*first.items, *second.items)] == ["OLD3", "OLD2", "OLD1", "OLD0"]
    assert not second.has_more


def test_an_empty_table_is_one_empty_page(database: Database) -> None:
    with database.reading() as session:
        assert signals.page(session, ANY, None, 50) == pages.Page([], None, False)


def test_items_are_plain_json_with_times_in_utc(database: Database) -> None:
    import json

    store(database, SIGNALS, signal_row(created_at=START_US, extra={"a": [1.5, None]}))
    with database.reading() as session:
        (item,) = signals.page(session, ANY, None, 1).items
    assert item["created_at"] == "2026-03-14T09:26:53.589793+00:00"
    assert "id" not in item
    assert json.loads(json.dumps(item, allow_nan=False)) == item


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "garbage!",
        "AAAA",
        "é",
        "a" * 27,
        "A" * 27,
        "A" * 5000,
        "\0",
        "eyJhIjoxfQ",
        "9" * 27,
        "=" * 8,
        "-_" * 14,
    ],
)
def test_garbage_is_refused_as_a_cursor(database: Database, cursor: str) -> None:
    with database.reading() as session, pytest.raises(InvalidInputError) as caught:
        signals.page(session, ANY, cursor, 10)
    assert caught.value.code == "INVALID_CURSOR"
    assert caught.value.errors[0].pointer == "/cursor"


def test_a_cursor_of_another_list_is_refused() -> None:
    cursor = encode_cursor("gpt_query_log", Place(EPOCH, 1))
    with pytest.raises(InvalidInputError, match="no cursor of this list"):
        decode_cursor(SIGNALS, cursor)


def test_a_cursor_with_any_character_changed_is_refused() -> None:
    cursor = encode_cursor(SIGNALS, Place(from_epoch_us(START_US), 7))
    for position, character in enumerate(cursor):
        other = "A" if character != "A" else "B"
        changed = cursor[:position] + other + cursor[position + 1 :]
        try:
            assert decode_cursor(SIGNALS, changed) == decode_cursor(SIGNALS, cursor)
        except InvalidInputError:
            continue


LIMIT_US = 8_000 * 365 * 86_400 * 1_000_000


@given(st.integers(-LIMIT_US // 5, LIMIT_US).map(from_epoch_us), st.integers(-(2**63), 2**63 - 1))
def test_a_cursor_says_exactly_where_it_stands_and_fits_into_a_url(moment: datetime, row_id: int) -> None:
    cursor = encode_cursor(SIGNALS, Place(moment, row_id))
    assert decode_cursor(SIGNALS, cursor) == Place(moment, row_id)
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_or_is_refused(cursor: str) -> None:
    try:
        place = decode_cursor(SIGNALS, cursor)
    except InvalidInputError:
        return
    assert decode_cursor(SIGNALS, encode_cursor(SIGNALS, place)) == place


# Filters


def symbols_found(database: Database, **filters: Any) -> list[Any]:
    return [item["symbol_raw"] for item in walked(database, signals.SignalFilters.of(**filters), 2)]


def test_a_symbol_is_found_in_its_canonical_and_in_its_given_form(database: Database) -> None:
    for symbol, raw in (
        ("BTCUSDT", "BTCUSDT"),
        ("BTCUSDT", "BTC/USDT"),
        ("BTCUSDT", "btc-usdt"),
        ("XAUUSD", "XAUUSDc"),
        ("MY-OWN", "GOLD-ISH"),
        (None, None),
    ):
        store(database, SIGNALS, signal_row(symbol=symbol, symbol_raw=raw))
    bitcoin = ["btc-usdt", "BTC/USDT", "BTCUSDT"]
    for given_form in ("BTCUSDT", "BTC/USDT", "btcusdt"):
        assert symbols_found(database, symbol=given_form) == bitcoin
    assert symbols_found(database, symbol="XAUUSDc") == ["XAUUSDc"]
    assert symbols_found(database, symbol="XAUUSD") == ["XAUUSDc"]
    assert symbols_found(database, symbol="GOLD-ISH") == ["GOLD-ISH"]
    assert symbols_found(database, symbol="MY-OWN") == ["GOLD-ISH"]
    assert symbols_found(database, symbol="NOTHING") == []
    assert symbols_found(database, symbol="a\0'; DROP TABLE signal_history; --") == []
    assert len(symbols_found(database)) == 6


def test_timeframes_are_found_in_every_spelling(database: Database) -> None:
    for raw, timeframe in enumerate(("15m", "1H", "1m", "1M")):
        store(database, SIGNALS, signal_row(timeframe=timeframe, symbol_raw=str(raw)))
    assert symbols_found(database, timeframe="M15") == ["0"]
    assert symbols_found(database, timeframe="1h") == ["1"]
    assert symbols_found(database, timeframe="1M") == ["3"]
    assert symbols_found(database, timeframe="never") == []


def test_filters_are_met_together(database: Database) -> None:
    fields = {"action": "SELL", "outcome": "WIN", "source_engine": "tajam", "timeframe": "4H", "symbol": "ETHUSDT"}
    store(database, SIGNALS, signal_row(symbol_raw="all", **fields))
    for name in fields:
        store(database, SIGNALS, signal_row(symbol_raw=f"not {name}", **{**fields, name: signal_row()[name]}))
    assert symbols_found(database, **fields) == ["all"]
    for name, value in fields.items():
        found = symbols_found(database, **{name: value})
        assert len(found) == 5
        assert f"not {name}" not in found


def test_a_window_begins_inclusive_and_ends_exclusive(database: Database) -> None:
    start = from_epoch_us(START_US)
    for raw, offset in enumerate((-1, 0, 1, 2)):
        store(database, SIGNALS, signal_row(created_at=START_US + offset, symbol_raw=str(raw), symbol="BTCUSDT"))
    end = start + timedelta(microseconds=2)
    assert symbols_found(database, since=start, end=end) == ["2", "1"]
    assert symbols_found(database, since=start, symbol="BTCUSDT") == ["3", "2", "1"]


def test_queries_are_found_by_endpoint_success_and_session(database: Database) -> None:
    store(
        database,
        "gpt_query_log",
        query_row(endpoint="/a", method="1"),
        query_row(endpoint="/b", method="2", is_successful=False),
        query_row(endpoint="/a", method="3", session_id="s", is_successful=False),
    )

    def found(**filters: Any) -> list[str]:
        with database.reading() as session:
            page = gpt_queries.page(session, gpt_queries.QueryFilters(**filters), None, 10)
        return [item["method"] for item in page.items]

    assert found() == ["3", "2", "1"]
    assert found(endpoint="/a") == ["3", "1"]
    assert found(is_successful=True) == ["1"]
    assert found(is_successful=False) == ["3", "2"]
    assert found(session_id="s", endpoint="/a", is_successful=False) == ["3"]
    assert found(since=from_epoch_us(START_US + 10**13)) == []


def test_interactions_are_found_by_signal_user_type_and_source(database: Database) -> None:
    store(
        database,
        "user_interaction",
        interaction_row(signal_id="s1", user_id="a", user_agent="1"),
        interaction_row(signal_id="s1", user_id="b", user_agent="2", interaction_type="EXECUTE"),
        interaction_row(user_id=None, user_agent="3", interaction_source="WEB"),
    )

    def found(**filters: Any) -> list[str]:
        with database.reading() as session:
            page = interactions.page(session, interactions.InteractionFilters(**filters), None, 10)
        return [item["user_agent"] for item in page.items]

    assert found() == ["3", "2", "1"]
    assert found(signal_id="s1") == ["2", "1"]
    assert found(user_id="b") == ["2"]
    assert found(interaction_type="CLICK") == ["3", "1"]
    assert found(interaction_source="WEB") == ["3"]
    assert found(signal_id="s1", interaction_type="CLICK", end=from_epoch_us(START_US)) == []


# Cost

SIGNAL_FILTERS = [
    {},
    {"symbol": "RARE"},
    {"symbol": "raw/rare"},
    {"timeframe": "1W"},
    {"action": "HOLD"},
    {"outcome": "BREAKEVEN"},
    {"source_engine": "rare"},
]
QUERY_FILTERS: list[dict[str, Any]] = [{}, {"endpoint": "/rare"}, {"is_successful": False}, {"session_id": "rare"}]
INTERACTION_FILTERS: list[dict[str, Any]] = [
    {},
    {"signal_id": "rare"},
    {"user_id": "rare"},
    {"interaction_type": "SHARE"},
    {"interaction_source": "WEB"},
]
CASES = [
    *((signals, signals.SignalFilters.of, filters) for filters in SIGNAL_FILTERS),
    *((gpt_queries, gpt_queries.QueryFilters, filters) for filters in QUERY_FILTERS),
    *((interactions, interactions.InteractionFilters, filters) for filters in INTERACTION_FILTERS),
]


def filled(database: Database) -> None:
    """Enough rows for a planner to prefer an index, none of which meets a filter of `CASES`."""
    store(database, SIGNALS, *(signal_row(outcome="WIN") for _ in range(3000)))
    store(database, "gpt_query_log", *(query_row() for _ in range(3000)))
    store(database, "user_interaction", *(interaction_row() for _ in range(3000)))
    with database.connection() as connection:
        connection.exec_driver_sql("ANALYZE")


def plans(database: Database, module: Any, filters: Any, cursor: str | None) -> str:
    """How the database runs every statement of a page."""
    from sqlalchemy import event

    statements: list[tuple[str, Any]] = []
    engine = database.ready_engine()

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        statements.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    with database.reading() as session:
        module.page(session, filters, cursor, 50)
    event.remove(engine, "before_cursor_execute", note)
    prefix = "EXPLAIN QUERY PLAN " if database.dialect == "sqlite" else "EXPLAIN "
    with database.connection() as connection:
        found = [
            connection.exec_driver_sql(prefix + statement, parameters).all() for statement, parameters in statements
        ]
    return "\n".join(str(row[-1]) for rows in found for row in rows)


def test_every_filter_has_an_index_that_also_gives_the_order_at_any_depth(database: Database) -> None:
    filled(database)
    deep = Place(from_epoch_us(START_US + 10**12), 2**40)
    for module, filters_of, given_filters in CASES:
        for since in (None, from_epoch_us(START_US - 10**9)):
            for cursor in (None, encode_cursor(module.TABLE, deep)):
                plan = plans(database, module, filters_of(**given_filters, since=since), cursor)
                told = f"{module.TABLE} {given_filters} {plan}"
                assert "ix_" in plan, told
                assert "Seq Scan" not in plan, told
                assert "SCAN signal_history\n" not in plan, told
                if "raw" not in str(given_filters):
                    alternatives = plan.count("Limit") > 1 or "UNION" in plan
                    assert alternatives or "TEMP B-TREE" not in plan, told
                    assert alternatives or "Sort" not in plan, told


def test_a_page_reads_little_more_than_it_gives_however_deep_it_is(postgresql: Database) -> None:
    store(postgresql, SIGNALS, *(signal_row() for _ in range(20_000)))
    with postgresql.connection() as connection:
        connection.execute(text("ANALYZE"))
        oldest = connection.execute(
            text("SELECT created_at, id FROM stateful_engine.signal_history ORDER BY created_at, id LIMIT 1 OFFSET 60")
        ).one()
    deep = encode_cursor(SIGNALS, Place(oldest.created_at, oldest.id))
    plan = plans(postgresql, signals, ANY, deep)
    assert "Index" in plan
    assert "Sort" not in plan
