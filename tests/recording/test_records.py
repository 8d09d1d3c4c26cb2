"""Records on their way: encoded once, decoded to the same, whatever a host puts into them."""

from __future__ import annotations

import math
from datetime import datetime, timezone

import orjson
import pytest

from stateful_engine.domain.vocabulary import Action
from stateful_engine.recording import records
from stateful_engine.recording.records import BODY_LIMIT, Call, Rows, decode, encode

CALL = Call(
    created_us=1_700_000_000_000_001,
    query_id="qry_a",
    query={"endpoint": "/signal", "request_params": {"symbol": "BTCUSDT"}},
    body=b'{\n  "signal": {"action": "BUY"}\n}\n',
    signals=[{"signal_id": "sig_a", "action": "BUY", "confidence": 85.5}],
    interactions=[{"interaction_id": "int_a", "signal_id": "sig_a"}],
)


def test_a_call_comes_back_as_it_was_with_the_very_bytes_of_the_body() -> None:
    assert decode(encode(CALL)) == CALL


@pytest.mark.parametrize("body", [None, b"", b"{}", b'{"a":"\\u0000"}', b'{"a": NaN}', b"\xff\xfe not JSON", b"\0\0"])
def test_any_body_travels_unchanged(body: bytes | None) -> None:
    call = Call(1, "qry_a", {}, body)
    assert decode(encode(call)) == call


def test_rows_come_back_as_they_were() -> None:
    rows = Rows({"signal_history": [{"signal_id": "sig_a", "extra": {"flags": ["late"]}}]}, created_us=5)
    assert decode(encode(rows)) == rows


def test_the_time_of_a_record_is_read_without_its_body() -> None:
    assert records.created_us(encode(CALL)) == CALL.created_us
    assert records.created_us(encode(Rows({}, created_us=7))) == 7


def test_of_a_body_beyond_the_limit_only_the_size_is_kept() -> None:
    encoded = encode(Call(1, "qry_a", {}, b'"' + b"x" * BODY_LIMIT + b'"'))
    assert len(encoded) < 200
    decoded = decode(encoded)
    assert isinstance(decoded, Call)
    assert decoded.body is not None
    assert orjson.loads(decoded.body) == {"_truncated": True, "bytes": BODY_LIMIT + 2, "head": ""}


def test_what_orjson_refuses_is_recorded_in_a_form_that_it_takes() -> None:
    odd = {"text": "a\ud800b", 5: "key", "huge": 2**70, "object": object, "enum": Action.BUY, "nan": math.nan}
    decoded = decode(encode(Rows({"signal_history": [{"extra": odd}]})))
    assert isinstance(decoded, Rows)
    extra = decoded.tables["signal_history"][0]["extra"]
    assert extra["text"] == "a\ufffdb"
    assert extra["5"] == "key"
    assert extra["huge"] == pytest.approx(2**70)
    assert extra["enum"] == "BUY"
    assert extra["nan"] is None
    assert isinstance(extra["object"], str)


def test_a_moment_travels_as_text() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)
    decoded = decode(encode(Rows({"signal_history": [{"closed_at": moment}]})))
    assert isinstance(decoded, Rows)
    assert datetime.fromisoformat(decoded.tables["signal_history"][0]["closed_at"]) == moment


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"{}", b'{"k":"r"}', b'{"k":"c","u":1}', b"\xff", b'{"k":'])
def test_bytes_that_are_no_record_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):
        decode(payload)
