"""Which signals a report is about, from what callers write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from stateful_engine.domain.symbols import canonical_symbol
from stateful_engine.domain.timeframes import canonical_timeframe
from stateful_engine.errors import Fault, InvalidInputError
from stateful_engine.services import inputs
from stateful_engine.services.report_figures import WEEKDAYS
from stateful_engine.storage.figures import SignalConditions

_SPELLINGS = {"engine": "source_engine", "model": "ai_model", "regime": "market_conditions"}

_NO_WORDS = {"0", "false", "no"}
_YES_WORDS = {"1", "true", "yes"}


def conditions(filters: Mapping[str, Any]) -> SignalConditions:
    """The conditions that filters stand for; None leaves one out.

    Filters are `symbol`, `timeframe`, `action`, `engine`, `model`, `prompt_version`, `market_conditions` (or `regime`),
    `hour` (0-23, UTC), `weekday` (0-6 from Monday, or its name), `confidence` (0-100: its bin of ten points),
    `min_confidence` (0-100) and `executed`. Raises `InvalidInputError` for others, and for values that cannot be meant.
    """
    read: dict[str, Any] = {}
    for name, value in filters.items():
        column = _SPELLINGS.get(name, name)
        if column not in _READERS:
            known = ", ".join(sorted({*_READERS, *_SPELLINGS}))
            raise _invalid(name, f"reports cannot be filtered by {name[:40]!r}; use {known}")
        if value is not None:
            read[column] = _READERS[column](column, value)
    if "symbol" in read:
        read["symbol_raw"], read["symbol"] = read["symbol"], canonical_symbol(read["symbol"]) or read["symbol"]
    return SignalConditions(**read)


def key_of(given: SignalConditions) -> str:
    """What tells reports of different filters apart in a cache; empty without any."""
    parts = given.given()
    if not parts:
        return ""
    return ":" + hashlib.blake2b(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def _text(name: str, value: Any) -> str:
    if not str(value):
        raise _invalid(name, f"{name} is empty; leave it out or name one")
    return inputs.text(value) or str(value)


def _timeframe(name: str, value: Any) -> str:
    given = _text(name, value)
    return canonical_timeframe(given) or given


def _action(name: str, value: Any) -> str:
    return _text(name, value).upper()


def _weekday(name: str, value: Any) -> int:
    names = [day.lower() for day in WEEKDAYS]
    word = str(value).strip().lower()
    if word in names:
        return names.index(word)
    return _whole(6)(name, value)


def _confidence(name: str, value: Any) -> int:
    return min(_whole(100)(name, value) // 10, 9)


def _percent(name: str, value: Any) -> float:
    number = inputs.finite(value, name)
    if not 0 <= number <= 100:
        raise _invalid(name, f"{name} must be from 0 to 100; send a number between them")
    return number


def _flag(name: str, value: Any) -> bool:
    word = str(value).strip().lower()
    if word in _YES_WORDS | _NO_WORDS:
        return word in _YES_WORDS
    raise _invalid(name, f"{name} must be true or false; send one of them")


def _whole(most: int) -> Callable[[str, Any], int]:
    def read(name: str, value: Any) -> int:
        number = inputs.finite(value, name)
        if number != int(number) or not 0 <= number <= most:
            raise _invalid(name, f"{name} must be a whole number from 0 to {most}; send one of them")
        return int(number)

    return read


def _invalid(name: str, detail: str) -> InvalidInputError:
    return InvalidInputError(detail, errors=(Fault(f"/{name}", detail),))


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "symbol": _text,
    "timeframe": _timeframe,
    "action": _action,
    "source_engine": _text,
    "ai_model": _text,
    "prompt_version": _text,
    "market_conditions": _text,
    "hour": _whole(23),
    "weekday": _weekday,
    "confidence": _confidence,
    "min_confidence": _percent,
    "executed": _flag,
}
