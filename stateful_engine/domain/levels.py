"""Entry, targets and stop of a signal, in the many forms hosts give them: numbers, text, zones, lists, objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stateful_engine.domain.numbers import MAX_PRICE, parse_price, parse_price_range, parse_ratio
from stateful_engine.domain.scopes import Scope
from stateful_engine.domain.spellings import Shape, shape_of

Entry = tuple[float, list[float] | None]

_ONE_PRICE = (
    "price",
    "mid",
    "value",
    "optimal",
    "ideal",
    "primary",
    "recommended",
    "entry_price",
    "entry",
    "stop_loss",
)
_ONE_PRICE_LAST = (
    "average",
    "avg",
    "aggressive",
    "conservative",
    "target",
    "tp",
    "take_profit",
    "last",
    "current",
    "level",
    "first",
)
_PAIRS = (
    ("low", "high"),
    ("min", "max"),
    ("from", "to"),
    ("lower", "upper"),
    ("start", "end"),
    ("bottom", "top"),
    ("bid", "ask"),
)
_TARGET_STARTS = ("tp", "take", "target", "level")
_TARGET_KEYS = frozenset(
    "primary secondary tertiary first second third conservative moderate aggressive final "
    "1 2 3 4 5 t1 t2 t3 t4 t5".split()
)
_NO_PRICE_PARTS = ("pct", "percent", "ratio", "size", "prob", "distance", "pips", "rr")
_MAX_TARGETS = 20
_LEVEL_SLOTS = frozenset({"entry", "take_profit", "stop_loss", "risk_reward", "room"})


@dataclass(slots=True)
class Levels:
    """The prices of one signal; `entry_source` names the key when the entry is only the market price of the moment."""

    entry: float | None = None
    entry_range: list[float] | None = None
    entry_source: str | None = None
    market_price: float | None = None
    take_profits: list[float] | None = None
    stop_loss: float | None = None
    risk_reward: float | None = None


def read_levels(chain: list[Scope]) -> Levels:
    """Read the levels of a signal: on itself and in its rooms (`trade_setup`, `risk_management`), then on its envelope.

    `chain` is the signal and the scopes around it. The envelope counts only for a signal that is not one of a list.
    Support, resistance and order blocks are in no slot and so never become targets.
    """
    scope = chain[0]
    levels = Levels()
    _fill(levels, scope.fields, scope.shape)
    if len(chain) > 1 and not scope.is_item and not _LEVEL_SLOTS.isdisjoint(chain[1].shape):
        _fill_from_envelope(levels, chain[1])
    _fill_market_price(levels, chain)
    return levels


def _fill_from_envelope(levels: Levels, envelope: Scope) -> None:
    around = Levels()
    _fill(around, envelope.fields, envelope.shape)
    if levels.entry is None:
        levels.entry, levels.entry_range = around.entry, around.entry_range
    levels.take_profits = levels.take_profits or around.take_profits
    levels.stop_loss = levels.stop_loss or around.stop_loss
    if levels.risk_reward is None:
        levels.risk_reward = around.risk_reward


def _fill(levels: Levels, fields: Mapping[object, object], shape: Shape) -> None:
    if levels.entry is None and "entry" in shape:
        _fill_entry(levels, fields, shape["entry"])
    if "take_profit" in shape:
        _fill_targets(levels, fields, shape["take_profit"])
    if levels.stop_loss is None and "stop_loss" in shape:
        _fill_stop(levels, fields, shape["stop_loss"])
    if levels.risk_reward is None and "risk_reward" in shape:
        _fill_ratio(levels, fields, shape["risk_reward"])
    for key in shape.get("room", ()):
        room = fields[key]
        if isinstance(room, dict):
            _fill_from_room(levels, room)


def _fill_from_room(levels: Levels, room: Mapping[object, object]) -> None:
    shape = shape_of(room)
    if "room" in shape:
        shape = Shape({slot: keys for slot, keys in shape.items() if slot != "room"})
    _fill(levels, room, shape)


def _fill_entry(levels: Levels, fields: Mapping[object, object], keys: tuple[str, ...]) -> None:
    for key in keys:
        if (entry := parse_entry(fields[key])) is not None:
            levels.entry, levels.entry_range = entry
            return


def _fill_stop(levels: Levels, fields: Mapping[object, object], keys: tuple[str, ...]) -> None:
    for key in keys:
        if (stop := parse_stop(fields[key])) is not None:
            levels.stop_loss = stop
            return


def _fill_ratio(levels: Levels, fields: Mapping[object, object], keys: tuple[str, ...]) -> None:
    for key in keys:
        if (ratio := parse_ratio(fields[key])) is not None:
            levels.risk_reward = ratio
            return


def _fill_targets(levels: Levels, fields: Mapping[object, object], keys: tuple[str, ...]) -> None:
    prices = levels.take_profits = levels.take_profits or []
    for key in keys:
        value = fields[key]
        if type(value) is float and 0.0 < value <= MAX_PRICE:
            if value not in prices:
                prices.append(value)
        elif value is not None:
            prices.extend(price for price in dict.fromkeys(parse_targets(value)) if price not in prices)
    del prices[_MAX_TARGETS:]


def _fill_market_price(levels: Levels, chain: list[Scope]) -> None:
    """Take the market price as entry when there is none; an item with an own symbol does not use its list's."""
    is_own_item = chain[0].is_item and "symbol" in chain[0].shape
    for scope in chain[:1] if is_own_item else chain:
        for key in scope.shape.get("price", ()):
            if (entry := parse_entry(scope.fields[key])) is not None:
                levels.market_price = entry[0]
                if levels.entry is None:
                    levels.entry, levels.entry_source = entry[0], key
                return


def parse_entry(value: object) -> Entry | None:
    """Read an entry as (price, [low, high] or None): a number, `"43300-43500"`, [low, high], {low, high} or {price}."""
    if type(value) is float:
        return (value, None) if 0.0 < value <= MAX_PRICE else None
    if isinstance(value, str):
        if (price := parse_price(value)) is not None:
            return price, None
        span = parse_price_range(value)
        return None if span is None else (_middle(*span), [*span])
    if isinstance(value, Mapping):
        return _entry_of_mapping(value)
    if isinstance(value, (list, tuple)):
        return _entry_of_list(value)
    single = parse_price(value)
    return None if single is None else (single, None)


def _entry_of_list(items: list[object] | tuple[object, ...]) -> Entry | None:
    prices = [price for price in map(one_price, items[:_MAX_TARGETS]) if price is not None]
    if len(prices) < 2:
        return (prices[0], None) if prices else None
    low, high = min(prices), max(prices)
    return (_middle(low, high) if len(prices) == 2 else prices[0]), [low, high]


def _entry_of_mapping(fields: Mapping[object, object]) -> Entry | None:
    span = _span(fields)
    price = _first_price(fields, _ONE_PRICE)
    if price is None and span is not None:
        price = _middle(*span)
    if price is None:
        price = _first_price(fields, _ONE_PRICE_LAST)
    if price is not None:
        return price, None if span is None else [*span]
    inner = fields.get("zone") or fields.get("range")
    return _entry_of_list(inner) if isinstance(inner, (list, tuple)) else None


def _span(fields: Mapping[object, object]) -> tuple[float, float] | None:
    for low_key, high_key in _PAIRS:
        if low_key in fields and high_key in fields:
            low, high = parse_price(fields[low_key]), parse_price(fields[high_key])
            if low is not None and high is not None:
                return (low, high) if low <= high else (high, low)
    return None


def _first_price(fields: Mapping[object, object], keys: tuple[str, ...]) -> float | None:
    for key in keys:
        if key in fields and (price := parse_price(fields[key])) is not None:
            return price
    return None


def _middle(low: float, high: float) -> float:
    return round(low + (high - low) / 2.0, 10)


def one_price(value: object) -> float | None:
    """Read one price, also out of an object such as {"level": 1, "price": 44200}."""
    if isinstance(value, Mapping):
        price = _first_price(value, _ONE_PRICE)
        return price if price is not None else _first_price(value, _ONE_PRICE_LAST)
    return parse_price(value)


def parse_stop(value: object) -> float | None:
    """Read a stop: a number, its text, the first of a list, or an object with a price; prose is None."""
    if type(value) is float:
        return value if 0.0 < value <= MAX_PRICE else None
    if isinstance(value, (list, tuple)):
        return next((stop for item in value[:_MAX_TARGETS] if (stop := one_price(item)) is not None), None)
    return one_price(value)


def parse_targets(value: object) -> Iterator[float]:
    """Go through the targets in a number, a text, a list of numbers or objects, or an object of named targets."""
    if isinstance(value, str):
        yield from _targets_of_text(value)
    elif isinstance(value, Mapping):
        yield from _targets_of_mapping(value)
    elif isinstance(value, (list, tuple)):
        yield from (price for item in value[:_MAX_TARGETS] if (price := one_price(item)) is not None)
    elif (price := parse_price(value)) is not None:
        yield price


def _targets_of_text(text: str) -> Iterator[float]:
    if (price := parse_price(text)) is not None:
        yield price
    elif len(text) <= 200:
        for mark in (", ", " / ", "/", " | ", ";"):
            prices = [parse_price(part) for part in text.split(mark)]
            if len(prices) > 1 and None not in prices:
                yield from (price for price in prices if price is not None)
                return


def _targets_of_mapping(fields: Mapping[object, object]) -> Iterator[float]:
    """Read {"price": …} as one target, otherwise every member whose name is a target's and no percentage's."""
    if (single := _first_price(fields, ("price", "value"))) is not None:
        yield single
        return
    for key, value in list(fields.items())[:_MAX_TARGETS]:
        name = str(key)[:40].lower()
        if name in _TARGET_KEYS or (
            name.startswith(_TARGET_STARTS) and not any(part in name for part in _NO_PRICE_PARTS)
        ):
            yield from parse_targets(value) if isinstance(value, (list, tuple)) else _one_target(value)


def _one_target(value: object) -> Iterator[float]:
    if (price := one_price(value)) is not None:
        yield price
