"""A signal that somebody hands over (`track_signal`, `POST /track-signal`): the mapping is the signal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

from stateful_engine.domain.advice import own_action
from stateful_engine.domain.extracted import ExtractedSignal, pointer_of
from stateful_engine.domain.fields import MAX_TEXT, fold
from stateful_engine.domain.jsonvalues import MAX_KEY, TooComplexError, json_value, json_value_or_none
from stateful_engine.domain.levels import one_price, parse_entry, parse_targets
from stateful_engine.domain.numbers import MAX_PRICE, confidence_number, finite_number, is_number, parse_ratio
from stateful_engine.domain.scopes import Scope
from stateful_engine.domain.symbols import MAX_SYMBOL, canonical_symbol
from stateful_engine.domain.timeframes import canonical_timeframe
from stateful_engine.errors import Fault, InvalidInputError, MalformedRequestError

MAX_GIVEN_REASONING = 100_000
_MAX_EXTRA = 200
_WRAPPERS = ("signal_data", "signal")
_COLUMNS = frozenset(
    "symbol timeframe action confidence entry price take_profit stop_loss risk_reward reasoning smc indicators market "
    "engine ai_model prompt_version client_ref external_id".split()
)
_ALL_CONSUMED = frozenset({"take_profit", "keep"})
_ALL_CHECKED = frozenset({"take_profit", "stop_loss"})
_LABELS = frozenset(
    "very_low low weak moderate medium normal high very_high strong extreme none unknown rendah sedang tinggi".split()
)
_REMEDY = "Correct every value named in `errors` and send the signal again."


def extract_one(
    fields: Mapping[str, object], *, strict: bool = False, request: Mapping[str, object] | None = None
) -> ExtractedSignal:
    """Fold a directly given signal, flat or inside `signal_data`/`signal`; fields without a column go to `extra`.

    Lenient, a value that cannot be meant is None. Strict, every such value is a fault. Raises `InvalidInputError`
    with all faults at once (strict), or when no action is usable; `MalformedRequestError` when no object is given.
    """
    if not isinstance(fields, Mapping):
        raise MalformedRequestError(
            "A signal must be an object with at least an action. Send {'symbol': 'BTCUSDT', 'action': 'BUY', …}."
        )
    scope = _scope_of(fields)
    key, _ = own_action(scope)
    faults = [*_action_faults(scope, key), *(_faults(scope) if strict else ())]
    if faults:
        raise InvalidInputError(_message(faults), errors=tuple(faults))
    signal = fold(scope, request)
    _keep_the_rest(signal.extra, scope)
    return signal


def _scope_of(fields: Mapping[str, object]) -> Scope:
    outer = Scope(dict(fields.items()), is_named=True)
    for key in _WRAPPERS:
        inner = fields.get(key)
        if isinstance(inner, Mapping):
            return Scope(dict(inner.items()), outer, step=(key,), is_named=True)
    return outer


def _message(faults: list[Fault]) -> str:
    return "; ".join(f"{fault.pointer or '/'} {fault.detail}" for fault in faults[:5])[:500] + f". {_REMEDY}"


def _action_faults(scope: Scope, key: str | None) -> Iterator[Fault]:
    if key is not None:
        return
    given = next((name for name in scope.shape.get("action", ()) if scope.fields[name] is not None), None)
    if given is None:
        yield Fault(_at(scope, "action"), "is missing; say BUY, SELL or HOLD", "MISSING_ACTION")
    else:
        shown = _shown(scope.fields[given])
        yield Fault(_at(scope, given), f"is {shown}; say BUY, SELL or HOLD", "UNKNOWN_ACTION")


def _at(scope: Scope, *steps: object) -> str:
    return pointer_of((*scope.path, *steps))


def _shown(value: object) -> str:
    if isinstance(value, str):
        return repr(value[:60])
    is_small = isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**20)
    return repr(value) if is_small else f"of the kind {type(value).__name__}"


def _faults(scope: Scope) -> Iterator[Fault]:
    """Name what cannot be meant under the keys that would be used: the best of each kind, and every target and stop."""
    for slot, check in _CHECKS.items():
        given = [key for key in scope.shape.get(slot, ()) if scope.fields[key] is not None]
        for key in given if slot in _ALL_CHECKED else given[:1]:
            problem = check(scope.fields[key])
            if problem is not None and _is_meant(slot, key):
                yield Fault(_at(scope, key), problem[1], problem[0])


def _is_meant(slot: str, key: str) -> bool:
    """Tell whether a key surely means its slot: a `score` of "A+" is no wrong confidence, only none."""
    return slot != "confidence" or "confidence" in key.lower()


Problem = tuple[str, str]


def _symbol_problem(value: object) -> Problem | None:
    if not isinstance(value, str):
        return "WRONG_TYPE", "must be text such as BTCUSDT"
    if len(value) > MAX_SYMBOL:
        return "TOO_LONG", f"is longer than {MAX_SYMBOL} characters"
    return (
        None if canonical_symbol(value) is not None else ("INVALID_SYMBOL", f"is {value!r}, which names no instrument")
    )


def _timeframe_problem(value: object) -> Problem | None:
    if isinstance(value, str):
        return ("TOO_LONG", "is longer than 24 characters") if len(value) > 24 else None
    return None if canonical_timeframe(value) is not None else ("WRONG_TYPE", "must be text such as 1H")


def _confidence_problem(value: object) -> Problem | None:
    if isinstance(value, Mapping):
        return None
    if isinstance(value, (list, tuple)):
        return "WRONG_TYPE", "must be a number from 0 to 100"
    if is_number(value) and finite_number(value) is None:
        return "NOT_FINITE", "must be finite, from 0 to 100"
    number = confidence_number(value)
    if number is None:
        is_label = isinstance(value, str) and value.strip().lower().replace(" ", "_") in _LABELS
        return None if is_label else ("NOT_A_NUMBER", f"is {_shown(value)}; say a number from 0 to 100")
    return None if 0.0 <= number <= 100.0 else ("OUT_OF_RANGE", f"is {_shown(value)}; say a number from 0 to 100")


def _price_problem(value: object) -> Problem | None:
    if isinstance(value, (list, tuple)):
        return next((problem for item in value if (problem := _price_problem(item)) is not None), None)
    if isinstance(value, Mapping):
        is_readable = one_price(value) is not None or parse_entry(value) is not None or any(parse_targets(value))
        return None if is_readable or not value else ("NOT_A_NUMBER", "holds no price")
    if isinstance(value, str) and (parse_entry(value) is not None or any(parse_targets(value))):
        return None
    number = finite_number(value)
    if number is None:
        is_infinite = is_number(value) or (isinstance(value, str) and value.strip().lower().lstrip("+-") in _INFINITE)
        return ("NOT_FINITE", "must be finite") if is_infinite else ("NOT_A_NUMBER", f"is {_shown(value)}; say a price")
    if number < 0.0:
        return "NEGATIVE", f"is {_shown(value)}; a price is positive"
    return None if number <= MAX_PRICE else ("OUT_OF_RANGE", f"is larger than {MAX_PRICE:g}")


_INFINITE = frozenset({"inf", "infinity", "nan"})


def _ratio_problem(value: object) -> Problem | None:
    if isinstance(value, (Mapping, list, tuple)):
        return "WRONG_TYPE", "must be a number"
    ratio = parse_ratio(value)
    if ratio is not None and math.isfinite(ratio):
        return None
    return (
        ("NOT_FINITE", "must be finite") if is_number(value) else ("NOT_A_NUMBER", f"is {_shown(value)}; say a number")
    )


def _reasoning_problem(value: object) -> Problem | None:
    if isinstance(value, str):
        too_long = len(value) > MAX_GIVEN_REASONING
        return ("TOO_LONG", f"is longer than {MAX_GIVEN_REASONING} characters") if too_long else None
    return _evidence_problem(value)


def _evidence_problem(value: object) -> Problem | None:
    if not isinstance(value, (str, Mapping, list, tuple)):
        return "WRONG_TYPE", "must be text, an object or a list"
    try:
        json_value(value)
    except TooComplexError:
        return "TOO_COMPLEX", "is nested too deep or holds too many members"
    return None


def _label_problem(value: object) -> Problem | None:
    if isinstance(value, str):
        return ("TOO_LONG", f"is longer than {MAX_TEXT} characters") if len(value) > MAX_TEXT else None
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return None if is_whole else ("WRONG_TYPE", "must be text")


_CHECKS: dict[str, Callable[[object], Problem | None]] = {
    "symbol": _symbol_problem,
    "timeframe": _timeframe_problem,
    "confidence": _confidence_problem,
    "entry": _price_problem,
    "price": _price_problem,
    "take_profit": _price_problem,
    "stop_loss": _price_problem,
    "risk_reward": _ratio_problem,
    "reasoning": _reasoning_problem,
    "smc": _evidence_problem,
    "indicators": _evidence_problem,
    "engine": _label_problem,
    "ai_model": _label_problem,
    "prompt_version": _label_problem,
    "client_ref": _label_problem,
    "external_id": _label_problem,
}


def _keep_the_rest(extra: dict[str, object], scope: Scope) -> None:
    """Put every field that reached no column into `extra`, as it was given; ours win where a name is taken."""
    consumed = {key for slot, keys in scope.shape.items() if slot in _COLUMNS for key in keys[:1]}
    consumed.update(key for slot in _ALL_CONSUMED for key in scope.shape.get(slot, ()))
    given = scope.fields.get("extra")
    rest = {**(given if isinstance(given, dict) else {}), **{k: v for k, v in scope.fields.items() if k != "extra"}}
    for key, value in rest.items():
        if len(extra) >= _MAX_EXTRA:
            return
        if value is not None and isinstance(key, str) and key not in consumed and key not in extra:
            extra[key[:MAX_KEY]] = json_value_or_none(value)
