"""Who an experiment is for: conditions on attributes, in the small subset of MongoDB's language that GrowthBook uses.

`{"country": "DE", "plan": {"$in": ["pro", "team"]}, "age": {"$gte": 18}}`: every line must hold. The words `equals`,
`in` and `greater` are accepted for `$eq`, `$in` and `$gt`. A condition that cannot be meant is refused by
`check_condition` when the experiment is created; at assignment time it simply does not match.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stateful_engine.errors import Fault

_PLAIN_WORDS = {"equals": "$eq", "in": "$in", "greater": "$gt"}


def matches(attributes: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    """Whether `attributes` meet every line of `condition`; an empty condition is met by all."""
    return all(_line_holds(attributes, key, wanted) for key, wanted in condition.items())


def check_condition(condition: object, *, pointer: str = "/targeting") -> tuple[Fault, ...]:
    """What is wrong with a condition: unknown operators, lists where objects belong. Empty when it can be used."""
    if not isinstance(condition, Mapping):
        return (Fault(pointer, "a condition is an object of attribute: wanted value"),)
    return tuple(fault for key, wanted in condition.items() for fault in _line_faults(f"{pointer}/{key}", key, wanted))


def _line_faults(pointer: str, key: object, wanted: Any) -> tuple[Fault, ...]:
    if key in _COMBINERS:
        parts = wanted if isinstance(wanted, list) else [wanted]
        return tuple(fault for part in parts for fault in check_condition(part, pointer=pointer))
    if not isinstance(wanted, Mapping):
        return ()
    unknown = [operator for operator in wanted if _PLAIN_WORDS.get(operator, operator) not in _OPERATORS]
    return tuple(Fault(pointer, f"unknown operator {name!r}; use one of {', '.join(_OPERATORS)}") for name in unknown)


def _line_holds(attributes: Mapping[str, Any], key: str, wanted: Any) -> bool:
    combine = _COMBINERS.get(key)
    if combine is not None:
        return combine(attributes, wanted)
    return _value_matches(_value_at(attributes, key), wanted)


def _any_holds(attributes: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> bool:
    return not parts or any(matches(attributes, part) for part in parts)


_COMBINERS: dict[object, Callable[[Mapping[str, Any], Any], bool]] = {
    "$and": lambda attributes, parts: all(matches(attributes, part) for part in parts),
    "$or": _any_holds,
    "$nor": lambda attributes, parts: not _any_holds(attributes, parts),
    "$not": lambda attributes, part: not matches(attributes, part),
}


def _value_at(attributes: Mapping[str, Any], path: str) -> Any:
    """The value under a dotted path, or None where the path ends early."""
    value: Any = attributes
    for step in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def _value_matches(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping) and wanted and all(_is_operator(name) for name in wanted):
        return all(_operator_holds(value, name, operand) for name, operand in wanted.items())
    return _same(value, wanted)


def _is_operator(name: object) -> bool:
    return isinstance(name, str) and (name.startswith("$") or name in _PLAIN_WORDS)


def _operator_holds(value: Any, name: str, operand: Any) -> bool:
    test = _OPERATORS.get(_PLAIN_WORDS.get(name, name))
    return test is not None and test(value, operand)


def _same(value: Any, wanted: Any) -> bool:
    """Equality across what forms and JSON make of one value: "7" meets 7, 1 meets true; None meets only None."""
    if wanted is None or value is None:
        return value is wanted
    if isinstance(wanted, bool):
        return bool(value) is wanted
    if isinstance(wanted, str):
        return not isinstance(value, bool | Mapping | list) and str(value) == wanted
    if isinstance(wanted, int | float):
        number = _number(value)
        return number is not None and number == wanted
    return bool(value == wanted)


def _strictly_same(value: Any, wanted: Any) -> bool:
    return isinstance(value, bool) is isinstance(wanted, bool) and bool(value == wanted)


def _is_in(value: Any, choices: Any) -> bool:
    if not isinstance(choices, list | tuple):
        return False
    values = value if isinstance(value, list | tuple) else (value,)
    return any(_strictly_same(one, choice) for one in values for choice in choices)


def _is_not_in(value: Any, choices: Any) -> bool:
    return isinstance(choices, list | tuple) and not _is_in(value, choices)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _order(value: Any, operand: Any) -> int | None:
    """-1, 0 or 1; texts compare as texts, everything else as numbers; None when there is no order."""
    if isinstance(value, str) and isinstance(operand, str):
        return (value > operand) - (value < operand)
    left, right = _number(value), _number(operand)
    if left is None or right is None or math.isnan(left) or math.isnan(right):
        return None
    return (left > right) - (left < right)


def _ordered(*allowed: int) -> Callable[[Any, Any], bool]:
    return lambda value, operand: _order(value, operand) in allowed


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _strictly_same,
    "$ne": lambda value, operand: not _strictly_same(value, operand),
    "$in": _is_in,
    "$nin": _is_not_in,
    "$gt": _ordered(1),
    "$gte": _ordered(0, 1),
    "$lt": _ordered(-1),
    "$lte": _ordered(-1, 0),
    "$exists": lambda value, operand: (value is not None) is bool(operand),
    "$not": lambda value, operand: not _value_matches(value, operand),
}
