"""What tokens cost: prices of the host, then a small dated list, then the `genai-prices` package where it is installed.

An unknown model has no price; its cost is None with a status that says so, never 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, TypeVar

from stateful_engine.domain.usage import Usage

MILLION = Decimal(1_000_000)
DEAREST = 1_000_000
PRICES_REMEDY = 'set it to {"model": {"prompt": 1.2, "completion": 4.8, "cached": 0.3}}, dollars per million tokens'

_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest)$")

T = TypeVar("T")


class CostStatus(str, Enum):
    """Where a cost comes from, or why there is none."""

    HOST_PRICE = "host_price"
    LISTED_PRICE = "listed_price"
    PACKAGE_PRICE = "package_price"
    UNKNOWN_MODEL = "unknown_model"
    UNKNOWN_TOKENS = "unknown_tokens"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens from a day on; without a price of their own, cached tokens cost what others do."""

    prompt: Decimal
    completion: Decimal
    cached: Decimal | None = None
    since: date = date.min


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost in US dollars with its origin; `usd` is None when it is not known."""

    usd: Decimal | None
    status: CostStatus


def _price(prompt: str, cached: str | None, completion: str, since: str) -> Price:
    return Price(
        Decimal(prompt), Decimal(completion), None if cached is None else Decimal(cached), date.fromisoformat(since)
    )


LISTED: Mapping[str, tuple[Price, ...]] = {
    "gpt-4o-mini": (_price("0.15", "0.075", "0.60", "2024-07-18"),),
    "gpt-4o": (_price("5.00", None, "15.00", "2024-05-13"), _price("2.50", "1.25", "10.00", "2024-10-02")),
    "gpt-4-turbo": (_price("10.00", None, "30.00", "2024-04-09"),),
    "gpt-3.5-turbo": (_price("0.50", None, "1.50", "2024-01-25"),),
    "gpt-4.1": (_price("2.00", "0.50", "8.00", "2025-04-14"),),
    "gpt-4.1-mini": (_price("0.40", "0.10", "1.60", "2025-04-14"),),
    "gpt-4.1-nano": (_price("0.10", "0.025", "0.40", "2025-04-14"),),
    "o3-mini": (_price("1.10", "0.55", "4.40", "2025-01-31"),),
    "o3": (_price("10.00", "2.50", "40.00", "2025-04-16"), _price("2.00", "0.50", "8.00", "2025-06-10")),
    "o4-mini": (_price("1.10", "0.275", "4.40", "2025-04-16"),),
    "gpt-5": (_price("1.25", "0.125", "10.00", "2025-08-07"),),
    "gpt-5-mini": (_price("0.25", "0.025", "2.00", "2025-08-07"),),
    "gpt-5-nano": (_price("0.05", "0.005", "0.40", "2025-08-07"),),
}
"""OpenAI's list prices for standard processing, each from the day on which it held; the vendor may change them."""


def cost_of(model: str | None, usage: Usage, *, at: datetime, host_prices: Mapping[str, Price] | None = None) -> Cost:
    """What `usage` cost with `model` at a moment: uncached prompt + cached prompt + completion, each at its price."""
    if usage.prompt is None or usage.completion is None:
        return Cost(None, CostStatus.UNKNOWN_TOKENS)
    own = None if model is None or not host_prices else _named(host_prices, model)
    if own is not None:
        return Cost(_amount(own, usage), CostStatus.HOST_PRICE)
    listed = _listed(model, at.date())
    if listed is not None:
        return Cost(_amount(listed, usage), CostStatus.LISTED_PRICE)
    packaged = _packaged(model, usage, at)
    if packaged is not None:
        return Cost(packaged, CostStatus.PACKAGE_PRICE)
    return Cost(None, CostStatus.UNKNOWN_MODEL)


def _amount(price: Price, usage: Usage) -> Decimal:
    prompt, completion = usage.prompt or 0, usage.completion or 0
    cached = min(usage.cached or 0, prompt)
    cached_price = price.prompt if price.cached is None else price.cached
    return ((prompt - cached) * price.prompt + cached * cached_price + completion * price.completion) / MILLION


def _listed(model: str | None, day: date) -> Price | None:
    """The price of a model on a day; a snapshot (`gpt-4o-2024-08-06`) costs what its model does."""
    if model is None:
        return None
    prices = _named(LISTED, model) or ()
    held = [price for price in prices if price.since <= day]
    return held[-1] if held else None


def _named(prices: Mapping[str, T], model: str) -> T | None:
    """What is listed under the name of a model, or of the one that it is a snapshot of."""
    name = model.strip().lower().removeprefix("openai/")
    return prices.get(name) or prices.get(_DATED.sub("", name))


def unpriced(usage: Usage) -> CostStatus:
    """Why there is no cost for this usage."""
    known = usage.prompt is not None and usage.completion is not None
    return CostStatus.UNKNOWN_MODEL if known else CostStatus.UNKNOWN_TOKENS


def prices_of(raw: Any) -> dict[str, Price]:
    """The prices of a host: `{"my-model": {"prompt": 1.2, "completion": 4.8, "cached": 0.3}}`, `cached` optional.

    US dollars per million tokens. Raises `ValueError` for anything else.
    """
    if not isinstance(raw, Mapping):
        raise ValueError(PRICES_REMEDY)
    return {str(model).strip().lower(): _host_price(price) for model, price in raw.items()}


def _host_price(raw: Any) -> Price:
    if isinstance(raw, Price):
        return raw
    known = {"prompt", "completion", "cached"}
    if not isinstance(raw, Mapping) or not {"prompt", "completion"} <= set(raw) <= known:
        raise ValueError(PRICES_REMEDY)
    amounts = {name: _dollars(raw[name]) for name in raw if raw[name] is not None}
    return Price(amounts["prompt"], amounts["completion"], amounts.get("cached"))


def _dollars(raw: Any) -> Decimal:
    try:
        amount = Decimal(str(raw))
    except InvalidOperation:
        raise ValueError(PRICES_REMEDY) from None
    if isinstance(raw, bool) or not 0 <= amount <= DEAREST:
        raise ValueError(PRICES_REMEDY)
    return amount


def _packaged(model: str | None, usage: Usage, at: datetime) -> Decimal | None:
    """The price that the `genai-prices` package knows, where it is installed."""
    if model is None:
        return None
    try:
        from genai_prices import Usage as PricedUsage
        from genai_prices import calc_price
    except ImportError:
        return None
    counted = PricedUsage(
        input_tokens=usage.prompt, output_tokens=usage.completion, cache_read_tokens=usage.cached or None
    )
    try:
        price = calc_price(counted, model_ref=model, genai_request_timestamp=at)
    except LookupError:
        return None
    return Decimal(price.total_price)
