"""Redaction: secrets never reach the disk, trading data always does, and no character stops a database."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stateful_engine.config import REDACTED_KEYS
from stateful_engine.domain.redaction import (
    MAX_DEPTH,
    REDACTED,
    TOO_DEEP,
    clean_json,
    clean_text,
    is_secret,
    redact,
    redact_text,
)

BOT_TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw_x"
KEY = "sk-proj-Abcdefghijklmnop0123456789"


@pytest.mark.parametrize(
    "key",
    [
        "api_key",
        "API-KEY",
        "apiKey",
        "X-Api-Key",
        "binance_api_key",
        "binanceApiKey",
        "telegramBotToken",
        "access_token",
        "accessToken",
        "Authorization",
        "password",
        "db_password",
        "client.secret",
        "Set-Cookie",
        "token",
    ],
)
def test_names_of_secrets_are_known_in_every_spelling(key: str) -> None:
    assert is_secret(key, REDACTED_KEYS)
    assert redact({key: "abc"}, REDACTED_KEYS) == {key: REDACTED}


@pytest.mark.parametrize(
    "key",
    [
        "symbol",
        "tokens_used",
        "quote_token",
        "base_token",
        "pinbar",
        "author",
        "key_level",
        "secretary",
        "signal_id",
        "",
    ],
)
def test_names_of_trading_data_are_not_taken_for_secrets(key: str) -> None:
    assert redact({key: "USDT"}, REDACTED_KEYS) == {key: "USDT"}


def test_secrets_are_found_at_any_depth_and_whatever_their_value_is() -> None:
    value = {"a": [{"headers": {"Authorization": "Bearer x"}}, {"password": {"old": 1}}], "secret": ["x"], "ok": 1}
    assert redact(value, REDACTED_KEYS) == {
        "a": [{"headers": {"Authorization": REDACTED}}, {"password": REDACTED}],
        "secret": REDACTED,
        "ok": 1,
    }


def test_an_empty_secret_stays_what_it_is() -> None:
    assert redact({"token": None, "password": ""}, REDACTED_KEYS) == {"token": None, "password": ""}


def test_a_hosts_own_key_covers_its_spellings() -> None:
    assert redact({"accountNo": 7, "my-account-no": 8, "account": 9}, frozenset({"account_no"})) == {
        "accountNo": REDACTED,
        "my-account-no": REDACTED,
        "account": 9,
    }


def test_what_is_given_is_not_changed() -> None:
    value = {"token": "x", "list": [{"token": "y"}]}
    redact(value, REDACTED_KEYS)
    assert value == {"token": "x", "list": [{"token": "y"}]}


def test_nesting_without_end_ends() -> None:
    value: Any = {"token": "x"}
    for _ in range(5000):
        value = {"a": value}
    kept = redact(value, REDACTED_KEYS)
    for _ in range(MAX_DEPTH):
        kept = kept["a"]
    assert kept == TOO_DEEP


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"https://api.telegram.org/bot{BOT_TOKEN}/getMe", f"https://api.telegram.org/bot{REDACTED}/getMe"),
        (f"token {BOT_TOKEN}.", f"token {REDACTED}."),
        ("Authorization: Bearer abcdefghijklmnopqrstuvwxyz012345", f"Authorization: Bearer {REDACTED}"),
        ("authorization=Basic dXNlcjpwYXNz", f"authorization=Basic {REDACTED}"),
        ("postgresql://user:hunter2@db.example/x", f"postgresql://user:{REDACTED}@db.example/x"),
        ("redis://:hunter2@db.example/0", f"redis://:{REDACTED}@db.example/0"),
        ("/v1/order?api_key=abc123&symbol=BTC", f"/v1/order?api_key={REDACTED}&symbol=BTC"),
        ('{"apiKey": "abc123", "x": 1}', f'{{"apiKey": "{REDACTED}", "x": 1}}'),
        ("password: hunter2", f"password: {REDACTED}"),
        ("?token=abc&tf=1H", f"?token={REDACTED}&tf=1H"),
        (f"use {KEY} now", f"use {REDACTED} now"),
        ("key se_0123456789abcdef0123", f"key {REDACTED}"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc-DEF_1", REDACTED),
    ],
)
def test_secrets_in_texts_are_found_by_their_look(text: str, kept: str) -> None:
    assert redact_text(text) == kept
    assert redact({"note": [text]}, REDACTED_KEYS) == {"note": [kept]}


@pytest.mark.parametrize(
    "text",
    [
        "Strong bullish momentum at 45000:45200, TP 46500",
        "sig_a1b2c3d4e5f6_1691234567",
        "Bearer market, basic strategy: risk-off",
        "Token: SOL, key level 44100, secret sauce",
        "https://example.com/a?symbol=BTCUSDT&time=12:30",
        "task-12345678901234567890",
        "2026-03-14T09:26:53.589793+00:00",
    ],
)
def test_ordinary_texts_stay_as_they_are(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain", "plain"),
        ("", ""),
        ("Über 🚀", "Über 🚀"),
        ("a\0b", "a\ufffdb"),
        ("a\ud800b", "a\ufffdb"),
        ("\udc00", "\ufffd"),
        ("\ud83d\ude80", "🚀"),
        ("\0\ud83d\ude80\udfff", "\ufffd🚀\ufffd"),
    ],
)
def test_texts_lose_only_what_a_database_refuses(text: str, kept: str) -> None:
    assert clean_text(text) == (kept, text != kept)


class Side(Enum):
    LONG = "buy"


def test_json_of_any_python_values_becomes_plain_json() -> None:
    value = {
        Side.LONG: Side.LONG,
        1: (1, 2),
        "when": datetime(2026, 1, 2, tzinfo=timezone.utc),
        "price": Decimal("1.5"),
        "bytes": b"ab",
        "set": {3},
        "none": None,
        "object": Ellipsis,
    }
    assert clean_json(value) == (
        {
            "buy": "buy",
            "1": [1, 2],
            "when": "2026-01-02T00:00:00+00:00",
            "price": 1.5,
            "bytes": "ab",
            "set": [3],
            "none": None,
            "object": "Ellipsis",
        },
        False,
    )


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (float("nan"), None),
        ([float("inf"), -float("inf")], [None, None]),
        (2**63, float(2**63)),
        (10**400, None),
        (Decimal("NaN"), None),
        (Decimal("sNaN"), None),
        ({"a\0": 1}, {"a\ufffd": 1}),
        (["\ud800"], ["\ufffd"]),
        (b"\xff", "\ufffd"),
    ],
)
def test_what_no_json_can_say_is_replaced_and_told(value: Any, kept: Any) -> None:
    clean, changed = clean_json(value)
    assert clean == kept
    assert changed == (value != b"\xff")


def test_a_bool_is_no_number_and_limits_stay() -> None:
    value = [True, 2**63 - 1, -(2**63), 0.1]
    assert clean_json(value) == (value, False)


def test_numbers_of_numpy_become_plain_ones() -> None:
    import numpy

    assert clean_json([numpy.float64(1.5), numpy.int64(3), numpy.float32("nan")]) == ([1.5, 3, None], True)


JSONISH = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
    max_leaves=20,
)


@given(JSONISH)
def test_whatever_comes_in_any_encoder_takes_what_comes_out(value: Any) -> None:
    clean, _ = clean_json(value)
    text = orjson.dumps(clean)
    assert b"\\u0000" not in text.replace(b"\\\\", b"")
    assert json.loads(json.dumps(clean, allow_nan=False)) == orjson.loads(text)
    assert clean_json(clean) == (clean, False)


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once
