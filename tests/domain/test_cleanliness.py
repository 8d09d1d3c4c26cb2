"""The short answer to whether a record holds secrets: it may err on the side of looking closer, never on the other."""

from __future__ import annotations

import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stateful_engine.config import REDACTED_KEYS
from stateful_engine.domain.cleanliness import keys_are_clean, texts_are_clean
from stateful_engine.domain.redaction import redact

SECRETS = [
    "https://api.telegram.org/bot123456789:AAExampleExampleExampleExampleExample/getMe",
    "123456789:AAExampleExampleExampleExampleExample",
    "Authorization: Bearer abcdefghijklmnop",
    "BEARER abcdefghijklmnopqrstuvwxyz",
    "authorization: Basic dXNlcjpwYXNz",
    "postgresql://user:secret@host/db",
    "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.signature",
    "sk-abcdefghijklmnopqrst",
    "key se_abcdefghijklmnopqrst",
    "ghp_abcdefghijklmnopqrst",
    "gho_abcdefghijklmnopqrst",
    "github_pat_abcdefghijklmnopqrst",
    "xoxb-abcdefghijklmnopqrst",
    "AKIAABCDEFGHIJKLMNOP",
    "api_key=abc",
    "apiKey: 'abc'",
    "API-SECRET = abc",
    "secretKey=abc",
    "private-key: abc",
    "password=hunter2",
    "Passwd: x",
    "passphrase='open sesame'",
    "?token=abc",
    "secret=abc",
    "signature=abc",
    "jwt=abc",
    "AP\u0130_KEY=abc",
    "to\u212aen=abc",
]
WORDS = st.sampled_from([*SECRETS, "BTC/USDT", "key levels", "close_price", "risk-reward", "a@b.c", "http://x.y"])
TEXTS = st.builds("".join, st.lists(WORDS | st.text(max_size=5), max_size=4))
KEYS = (
    st.sampled_from(sorted(REDACTED_KEYS)) | st.sampled_from(["symbol", "quote_token", "apiKey", "x.api.key"]) | TEXTS
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def is_clean(value: Any) -> bool:
    return texts_are_clean(orjson.dumps(value)) and keys_are_clean(value, REDACTED_KEYS)


@given(value=JSON)
@example(value={"a": {"b": [{"webhook_secret": 1}]}})
def test_what_is_called_clean_is_not_changed_by_redaction(value: Any) -> None:
    if is_clean(value):
        assert redact(value, REDACTED_KEYS) == value


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("around", ["{}", "before {} behind", "({})", '"{}"', "close_a-{}", "line\n{}", "tab\t{}"])
def test_no_known_secret_is_called_clean(secret: str, around: str) -> None:
    value = {"text": around.format(secret)}
    assert redact(value, REDACTED_KEYS) != value
    assert not is_clean(value)


@pytest.mark.parametrize("key", sorted(REDACTED_KEYS))
def test_no_secret_key_is_called_clean_at_any_depth(key: str) -> None:
    assert not keys_are_clean([{"a": [[{key: 1}]]}], REDACTED_KEYS)
    assert not keys_are_clean({key.replace("_", "-").title(): 1}, REDACTED_KEYS)


def test_escapes_may_hide_anything() -> None:
    assert not texts_are_clean(b'{"text": "\\u0062earer abcdefghijklmnop"}')


def test_what_is_nested_too_deeply_is_left_to_redaction() -> None:
    value: Any = []
    for _ in range(150):
        value = [value]
    assert not keys_are_clean(value, REDACTED_KEYS)


def test_ordinary_trading_data_is_clean() -> None:
    assert is_clean(
        {
            "symbol": "BTC/USDT",
            "close_price": 45000.0,
            "key_levels": [44800.5, 45000],
            "risk-reward": 1.8,
            "url": "https://example.com/chart?tf=1H",
            "reasoning": "Key level held: momentum is strong; base_case target 46500",
            "quote_token": "USDT",
        }
    )


def test_escaped_slashes_hide_no_password_in_an_address() -> None:
    assert not texts_are_clean(rb'{"url": "https:\/\/user:hunter2@exchange.example\/"}')


def test_what_is_remembered_of_objects_does_not_grow_with_the_names_that_callers_think_of() -> None:
    tracemalloc.start()
    try:
        for number in range(300):
            assert keys_are_clean({f"{number}-{minute}": 1 for minute in range(200)}, REDACTED_KEYS)
            assert keys_are_clean({f"{number}-" + "x" * 50_000: 1}, REDACTED_KEYS)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 4 * 2**20
