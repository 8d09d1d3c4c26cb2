"""Calls that come again are read as fast as they are alike, and each is stored as though it had come alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from stateful_engine.config import Settings
from stateful_engine.recording.forms import CALLER, Form, blanks
from stateful_engine.recording.preparing import Preparer
from stateful_engine.recording.records import Call, encode
from stateful_engine.recording.rows import TableRows
from tests.factories import signal_data

SETTINGS = Settings(spool_dir=Path("unused"))
MADE_US = 1_700_000_000_000_001
BODY = orjson.dumps(signal_data())
ORIGIN = {"interaction_source": "API", "source": "API", "source_engine": None, "mapping": None}
QUERY = {
    "endpoint": "/signal",
    "method": "GET",
    "request_params": {"tf": "1H"},
    "user_agent": "curl/8",
    "ip_address": None,
}


def filled(number: int = 0, **given: Any) -> bytes:
    """The record of one call; a name of a column changes the form, another one what it is filled with."""
    kept = {"status": 200, "milliseconds": 0.5 + number, "request_id": None, "error": None, "body": BODY}
    kept |= {"has_signal": True} | {name: given.pop(name) for name in list(given) if name in (*kept, "has_signal")}
    tail = f"_{number:012x}_1700000000"
    return Form(QUERY | given, ORIGIN).filled(tail, MADE_US + number * 60_000_000, **kept)


def prepared(*payloads: bytes, settings: Settings = SETTINGS) -> list[TableRows]:
    """The rows of each, read one after the other by the same writer."""
    batch = Preparer(settings)(payloads)
    assert not batch.rejects
    return [item.tables for item in batch.items]


def alone(*payloads: bytes, settings: Settings = SETTINGS) -> list[TableRows]:
    """The rows of each, read by a writer that has seen no other."""
    return [prepared(payload, settings=settings)[0] for payload in payloads]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"has_signal": False},
        {"has_signal": False, "body": None},
        {"status": 503, "error": "KeyError", "has_signal": False, "body": b'{"error": 1}'},
        {"request_params": {"f": {"signal_id": "sig_000000000000_1", "interaction_id": "int_000000000000_1", "a": 1}}},
        {"request_params": {"note": '"request_id":null,"l":{'}, "user_query": "\u017f\\n"},
        {"request_params": {"api_key": "hidden already? no"}},
        {"user_agent": "bot token=abcdefghijklmnop"},
        {"body": b'{"signal": {"action": "BUY", "symbol": null, "confidence": 1}}'},
        {"body": orjson.dumps(signal_data(token="eyJhbGciOi"))},
    ],
)
def test_calls_that_differ_in_ids_and_times_are_read_as_each_alone(given: dict[str, Any]) -> None:
    callers = [{"request_id": f"{number:032x}", "session_id": None, "user_ref": f"{number:04x}"} for number in range(3)]
    calls = [filled(number, **caller, **given) for number, caller in enumerate(callers)]
    assert prepared(*calls) == alone(*calls)


def test_one_call_amid_others_keeps_what_is_its_own() -> None:
    calls = [
        filled(1, user_ref="aa"),
        filled(2, user_ref=None),
        filled(3, user_ref="ann@example.com"),
        filled(4, user_agent="curl/9"),
        filled(5, status=302),
        filled(6, body=orjson.dumps(signal_data(action="SELL"))),
        filled(7, has_signal=False, body=None),
        filled(8, request_id="aa-bb"),
        filled(9, request_id="Bearer abcdefghijklmnopqrstuvwxyz"),
    ]
    found = prepared(*calls, *calls)
    assert found == alone(*calls, *calls)
    queries = [tables["gpt_query_log"][0] for tables in found]
    assert [row["user_ref"] for row in queries[:3]] == ["aa", None, "ann@example.com"]
    assert "abcdefghijklmnopqrstuvwxyz" not in str(queries)


def test_callers_without_a_name_do_not_give_away_those_who_have_one(tmp_path: Path) -> None:
    settings = replace(SETTINGS, hash_user_ids=True, instance_path=tmp_path)
    calls = [filled(1, user_ref=None), filled(2, user_ref="abcdef0123")]
    found = prepared(*calls, settings=settings)
    assert "abcdef0123" not in str(found)
    assert found == alone(*calls, settings=settings)


def test_rows_of_one_call_are_not_those_of_the_next() -> None:
    first, second = prepared(filled(1), filled(2))
    first["signal_history"][0]["symbol"] = "changed"
    assert second["signal_history"][0]["symbol"] == "BTCUSDT"


def test_other_records_are_no_filled_forms() -> None:
    call = Call(MADE_US, "qry_00000000000a_1700000000", dict(QUERY), BODY)
    stamped = filled(1).replace(b'"s":[]', b'"s":[{"signal_id":"sig_a"}]')
    of_another = filled(1).replace(b'"sig_000000000001', b'"sig_000000000002')
    for payload in (encode(call), stamped, of_another, b"", b"{}"):
        assert blanks(payload) is None


LIKE_BLANKS = {"processing_time_ms": 1.234, "request_id": None, **dict.fromkeys(CALLER), "more": 1}


@pytest.mark.parametrize(
    "given",
    [
        {"request_params": {"inner": {"a": {}}, "l": LIKE_BLANKS}},
        {"body": b'{"inner":{},"l":%b}' % orjson.dumps(LIKE_BLANKS)},
        {"user_query": f'}},"l":{orjson.dumps(LIKE_BLANKS).decode()}'},
    ],
)
def test_no_caller_can_write_blanks_himself(given: dict[str, Any]) -> None:
    assert blanks(filled(1, request_id="an id of other letters", **given)) is None
    found = blanks(filled(1, **given))
    assert found is not None
    assert found.milliseconds == 1.5


def test_calls_of_a_view_with_a_mapping_are_known_as_well() -> None:
    mapped = {**ORIGIN, "mapping": {"action": "signal.action"}}
    tail, kept = "_00000000000a_1700000000", {"milliseconds": 0.5, "request_id": None, "error": None, "body": BODY}
    payload = Form(QUERY, mapped).filled(tail, MADE_US, status=200, has_signal=True, **kept)  # type: ignore[arg-type]
    found = blanks(payload)
    assert found is not None
    assert found.rest[0] == orjson.dumps(mapped)[1:-1]


def test_a_form_tells_what_it_was_filled_with() -> None:
    found = blanks(filled(7, request_id="ab-1", user_ref="c0ffee"))
    assert found is not None
    assert (found.created_us, found.tail) == (MADE_US + 7 * 60_000_000, "_000000000007_1700000000")
    assert found.milliseconds == 7.5
    assert found.ids == {"request_id": "ab-1", "session_id": None, "conversation_ref": None, "user_ref": "c0ffee"}
