"""Direct calls: what callers really send is folded, what cannot be meant is refused with the remedy."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from stateful_engine.errors import InvalidInputError
from stateful_engine.services import inputs


@pytest.mark.parametrize("given", ["click", "CLICK", " Click "])
def test_interaction_types_are_known_in_any_case(given: str) -> None:
    assert inputs.interaction_type(given) == "CLICK"


@pytest.mark.parametrize("given", ["hover", "", None, 3, "\u0000"])
def test_an_unknown_interaction_type_is_refused_with_the_known_ones(given: object) -> None:
    with pytest.raises(InvalidInputError, match="use one of CLICK, EXECUTE"):
        inputs.interaction_type(given)


@pytest.mark.parametrize(
    ("given", "folded"),
    [
        ("Telegram", "TELEGRAM"),
        ("ChatGPT", "CHAT_GPT"),
        ("chat-gpt", "CHAT_GPT"),
        ("fax", "UNKNOWN"),
        (None, "UNKNOWN"),
    ],
)
def test_sources_fold_and_never_fail(given: object, folded: str) -> None:
    assert inputs.interaction_source(given) == folded


@pytest.mark.parametrize(("given", "folded"), [("win", "WIN"), ("Break-Even", "BREAKEVEN"), ("lost", "LOSS")])
def test_outcomes_fold(given: str, folded: str) -> None:
    assert inputs.outcome(given) == folded


@pytest.mark.parametrize("given", ["MAYBE", None, 1, ""])
def test_an_unknown_outcome_is_refused(given: object) -> None:
    with pytest.raises(InvalidInputError, match="use one of PENDING, WIN"):
        inputs.outcome(given)


@pytest.mark.parametrize("given", [0, -1, "abc", None, True, float("nan"), float("inf"), [], 10**400])
def test_a_price_is_a_finite_number_above_zero(given: object) -> None:
    with pytest.raises(InvalidInputError) as caught:
        inputs.price(given, "execution_price")
    assert caught.value.errors[0].pointer == "/execution_price"


def test_a_price_may_arrive_as_text() -> None:
    assert inputs.price("45100.5", "execution_price") == 45100.5


@pytest.mark.parametrize("given", [-1, 36_501, 99999999999, 1.5, "many", float("nan")])
def test_days_outside_a_century_are_refused(given: object) -> None:
    with pytest.raises(InvalidInputError, match="days must be"):
        inputs.days(given)


@pytest.mark.parametrize(
    "given",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31T13:00:00+01:00",
        "2026-01-31T12:00:00",
        1769860800,
        datetime(2026, 1, 31, 12, tzinfo=timezone.utc),
        datetime(2026, 1, 31, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_every_spelling_of_one_moment_is_the_same_moment(given: object) -> None:
    assert inputs.moment(given, "closed_at") == datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize("given", ["yesterday", 1e20, True, []])
def test_a_time_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(InvalidInputError, match="ISO 8601"):
        inputs.moment(given, "closed_at")


def test_every_missing_field_is_named_at_once() -> None:
    with pytest.raises(InvalidInputError) as caught:
        inputs.require({"a": 1, "b": ""}, ["a", "b", "c"])
    assert [fault.pointer for fault in caught.value.errors] == ["/b", "/c"]
