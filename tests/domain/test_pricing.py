"""What tokens cost: by the host's prices, by the list that held on the day, by the package, or not known."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from decimal import Decimal

import pytest

from stateful_engine.domain.pricing import Cost, CostStatus, Price, cost_of, prices_of
from stateful_engine.domain.usage import Usage

USAGE = Usage(total=1100, prompt=1000, completion=100, cached=400)
DAY = datetime(2026, 1, 1, tzinfo=timezone.utc)


def at(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("day", "dollars"),
    [(at(2024, 5, 12), None), (at(2024, 10, 1), "0.0065"), (at(2024, 10, 2), "0.003"), (DAY, "0.003")],
)
def test_a_listed_price_holds_from_its_day_on(
    day: datetime, dollars: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert cost_of("gpt-4o", USAGE, at=day).usd == (None if dollars is None else Decimal(dollars))


@pytest.mark.parametrize("name", ["gpt-4o-mini", "GPT-4o-mini ", "openai/gpt-4o-mini", "gpt-4o-mini-2024-07-18"])
def test_a_snapshot_costs_what_its_model_does(name: str) -> None:
    assert cost_of(name, USAGE, at=DAY) == Cost(Decimal("0.00018"), CostStatus.LISTED_PRICE)


def test_cached_tokens_are_part_of_the_prompt_and_never_added_twice() -> None:
    price = {"m": Price(Decimal(2), Decimal(4), Decimal(1))}
    assert cost_of("m", Usage(prompt=10, completion=0, cached=99), at=DAY, host_prices=price).usd == Decimal("0.00001")
    without = {"m": Price(Decimal(2), Decimal(4))}
    assert cost_of("m", USAGE, at=DAY, host_prices=without).usd == Decimal("0.0024")


def test_the_hosts_price_comes_first_and_its_names_are_read_alike() -> None:
    prices = prices_of({"GPT-4o-mini": {"prompt": 1, "completion": "2", "cached": None}})
    assert cost_of("gpt-4o-mini-2024-07-18", USAGE, at=DAY, host_prices=prices) == Cost(
        Decimal("0.0012"), CostStatus.HOST_PRICE
    )
    assert prices_of({"m": prices["gpt-4o-mini"]}) == {"m": prices["gpt-4o-mini"]}


def test_what_no_list_knows_is_asked_of_the_package() -> None:
    found = cost_of("claude-3-5-sonnet-latest", USAGE, at=DAY)
    assert found.status is CostStatus.PACKAGE_PRICE
    assert found.usd is not None
    assert found.usd > 0


@pytest.mark.parametrize(
    ("model", "usage", "status"),
    [
        ("never-heard-of-it", USAGE, CostStatus.UNKNOWN_MODEL),
        (None, USAGE, CostStatus.UNKNOWN_MODEL),
        ("gpt-4o-mini", Usage(total=5), CostStatus.UNKNOWN_TOKENS),
    ],
)
def test_what_is_not_known_costs_none_and_says_why(model: str | None, usage: Usage, status: CostStatus) -> None:
    assert cost_of(model, usage, at=DAY) == Cost(None, status)


def test_without_the_package_an_unlisted_model_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert cost_of("claude-3-5-sonnet-latest", USAGE, at=DAY) == Cost(None, CostStatus.UNKNOWN_MODEL)
