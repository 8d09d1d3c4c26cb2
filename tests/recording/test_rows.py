"""What becomes of a record on its way to the tables: redacted, cut, complete."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import orjson
import pytest

from stateful_engine.config import Settings
from stateful_engine.domain.redaction import redact
from stateful_engine.recording.records import BODY_LIMIT, Call, Record, Rows, decode, encode
from stateful_engine.recording.rows import TableRows, rows_of

SETTINGS = Settings(spool_dir=Path("unused"))
MADE_US = 1_700_000_000_000_001


def call(body: bytes | None = None, **changes: object) -> Call:
    plain = Call(
        created_us=MADE_US,
        query_id="qry_a",
        query={"endpoint": "/signal"},
        body=body,
        signals=[{"signal_id": "sig_a", "action": "BUY"}],
        interactions=[{"interaction_id": "int_a"}],
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def rows(record: Record, settings: Settings = SETTINGS) -> TableRows:
    """The rows after the way through the spool; JSON that is kept as text is read."""
    made = rows_of(decode(encode(record)), settings)
    for row in (each for table in made.values() for each in table):
        row.update({name: orjson.loads(value) for name, value in row.items() if type(value) is bytes})
    return made


def response(body: bytes, settings: Settings = SETTINGS) -> object:
    return rows(call(body), settings)["gpt_query_log"][0].get("response_data")


def test_a_call_becomes_its_query_its_signals_and_its_interactions() -> None:
    made = rows(call(b'{"signal": 1}'))
    assert made["gpt_query_log"] == [
        {
            "endpoint": "/signal",
            "query_id": "qry_a",
            "response_data": {"signal": 1},
            "is_successful": True,
            "created_at": MADE_US,
        }
    ]
    assert made["signal_history"] == [
        {
            "signal_id": "sig_a",
            "action": "BUY",
            "outcome": "PENDING",
            "is_executed": False,
            "created_at": MADE_US,
            "updated_at": MADE_US,
        }
    ]
    assert made["user_interaction"] == [{"interaction_id": "int_a", "created_at": MADE_US}]


def test_a_call_without_a_query_row_has_none() -> None:
    assert set(rows(call(query=None, interactions=[]))) == {"signal_history"}


def test_what_a_row_says_wins_over_the_defaults() -> None:
    said = {"signal_id": "sig_a", "outcome": "WIN", "created_at": 5, "updated_at": 6}
    assert rows(Rows({"signal_history": [said]}))["signal_history"][0] == {**said, "is_executed": False}


def test_the_body_is_left_out_when_bodies_are_not_kept() -> None:
    assert "response_data" not in rows(call(b"{}"), replace(SETTINGS, capture_response=False))["gpt_query_log"][0]


def test_secrets_in_the_body_and_in_every_json_column_are_redacted() -> None:
    assert response(b'{"signal": {"api_key": "k", "symbol": "BTCUSDT"}}') == {
        "signal": {"api_key": "[redacted]", "symbol": "BTCUSDT"}
    }
    row = {"signal_id": "sig_a", "extra": {"nested": [{"password": "p"}]}}
    made = rows(Rows({"signal_history": [row]}))["signal_history"][0]
    assert made["extra"] == {"nested": [{"password": "[redacted]"}]}


@pytest.mark.parametrize(
    "body",
    [
        b'{"token": "PLANTED", "token": 1, "symbol": "BTCUSDT"}',
        b'{"a": {"token": "PLANTED"}, "a": 2}',
        b'{"a": {"b": "PLANTED", "b": {"token": "PLANTED"}, "b": []}, "list": [{"c": {"token": "PLANTED"}, "c": 1}]}',
        b'{"token" : "PLANTED", "tok\\u0065n" : null}',
    ],
)
def test_a_secret_under_a_key_that_stands_again_later_is_not_kept(body: bytes) -> None:
    (row,) = rows_of(decode(encode(call(body))), SETTINGS)["gpt_query_log"]
    assert b"PLANTED" not in row["response_data"]
    assert row["response_data"] == orjson.dumps(redact(orjson.loads(body), SETTINGS.redact))


def test_a_body_up_to_the_limit_is_kept_whole_and_a_longer_one_is_cut_and_marked() -> None:
    short = replace(SETTINGS, capture_response_max_bytes=60)
    fitting = b'{"text": "%b"}' % (b"x" * 48)
    assert len(fitting) == 60
    assert response(fitting, short) == {"text": "x" * 48}
    long = b'{"token": "secret", "text": "%b"}' % (b"x" * 100)
    cut = response(long, short)
    assert cut == {
        "_truncated": True,
        "bytes": len(long),
        "head": '{"token":"[redacted]","text":"' + "x" * 30,
    }


def test_a_cut_never_splits_a_character() -> None:
    short = replace(SETTINGS, capture_response_max_bytes=10)
    cut = response(orjson.dumps(["ééééééééééééé"]), short)
    assert isinstance(cut, dict)
    assert cut["head"] == '["éééé'


def test_a_body_that_is_no_json_is_kept_as_text() -> None:
    assert response(b'{"a": NaN}') == '{"a": NaN}'
    assert response(b"\xff\xfe") == "\ufffd\ufffd"


def test_of_an_enormous_body_the_size_is_kept() -> None:
    assert response(b'"' + b"x" * BODY_LIMIT + b'"') == {"_truncated": True, "bytes": BODY_LIMIT + 2, "head": ""}


def test_moments_that_travelled_as_text_are_moments_again() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc)
    made = rows(Rows({"signal_history": [{"signal_id": "sig_a", "closed_at": moment}]}))
    assert made["signal_history"][0]["closed_at"] == moment


@pytest.mark.parametrize(
    "tables",
    [
        {"no_such_table": [{}]},
        {"signal_history": [{"closed_at": "2026-01-02T03:04:05"}]},
        {"signal_history": [{"closed_at": "yesterday"}]},
        {"signal_history": ["not a row"]},
    ],
)
def test_a_record_that_cannot_be_understood_is_refused(tables: dict[str, list[object]]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        rows(Rows(tables))  # type: ignore[arg-type]
