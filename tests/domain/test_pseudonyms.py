"""Pseudonyms: keyed, stable, recognised, and found in JSON by the keys they stand under."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from stateful_engine.domain.pseudonyms import AS_GIVEN, People
from stateful_engine.domain.redaction import MAX_DEPTH, REDACTED

people = People(lambda: b"k")
ANN = people.of("ann")


def test_a_pseudonym_is_the_keyed_hash_and_not_the_plain_one() -> None:
    assert "anon-" + hmac.new(b"k", b"person:ann", hashlib.sha256).hexdigest()[:32] == ANN
    assert hashlib.sha256(b"ann").hexdigest()[:8] not in ANN
    assert People(lambda: b"other").of("ann") != ANN


def test_a_pseudonym_stands_for_itself_and_nobody_for_nobody() -> None:
    assert people.of(ANN) == ANN
    assert people.of(None) is None
    assert people.of(ANN.upper()) != ANN.upper()


def test_without_a_key_everything_stays_as_it_was_given() -> None:
    assert AS_GIVEN.of("ann") == "ann"
    assert AS_GIVEN.in_json({"user_id": 1}) == {"user_id": 1}
    assert not AS_GIVEN.hidden


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"user_id": "ann"}, {"user_id": ANN}),
        ({"userId": "ann", "symbol": "BTCUSDT"}, {"userId": ANN, "symbol": "BTCUSDT"}),
        ({"chat_id": 7}, {"chat_id": people.of("7")}),
        (
            [{"from": {"telegram-id": "ann", "first_name": "Ann"}}],
            [{"from": {"telegram-id": ANN, "first_name": REDACTED}}],
        ),
        ({"user_id": None, "username": ""}, {"user_id": None, "username": ""}),
        ({"user_id": {"user_id": "ann"}}, {"user_id": {"user_id": ANN}}),
        ({"user_id": True}, {"user_id": True}),
        ("ann", "ann"),
    ],
)
def test_people_in_json_are_found_by_their_keys(given: Any, kept: Any) -> None:
    assert people.in_json(given) == kept


def test_json_that_is_nested_too_deeply_is_cut_and_does_not_fail() -> None:
    deep: Any = "ann"
    for _ in range(MAX_DEPTH + 50):
        deep = {"a": deep}
    assert "ann" not in str(people.in_json(deep))
