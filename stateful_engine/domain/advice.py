"""Whether a dict advises: a verb that folds, and none of what makes it an order, a position or a component's vote."""

from __future__ import annotations

from stateful_engine.domain.actions import fold_action
from stateful_engine.domain.scopes import Scope
from stateful_engine.domain.spellings import spellings

NO_VERB = "has no verb of buying, selling or holding"

# How surely a key means advice: `signal` always does, `side` is also what orders, positions and trades have.
_SURE = spellings("signal", "sinyal", "primary_signal", "final_signal", "trading_signal", "trade_signal")
_VERDICTS = spellings(
    "recommendation",
    "final_recommendation",
    "trading_recommendation",
    "trade_recommendation",
    "final_decision",
    "decision",
    "verdict",
    "prediction",
    "recommended_action",
    "suggested_action",
    "trade_action",
)
_WEAK = spellings("side", "signal_type", "setup_type", "trade_type", "type")
_TYPE = spellings("type")
_ACTION = spellings("action")
_SIGNAL_ID = spellings("signal_id")
_ORDER = spellings("order")
_POSITIONS = spellings("position", "order")
_TECHNICAL = spellings("technical_analysis")
_POSITION_SLOTS = frozenset({"action", "order", "position"})
_FIRM = spellings("signal", "direction", "recommendation", "decision")
_OPENERS = frozenset({"open", "enter", "entry", "trade", "execute", "new", "signal"})
_NO_ADVICE = frozenset(
    {"unknown", "error", "n/a", "na", "undefined", "close", "exit", "close_position", "avoid"}
    | {"no_signal", "no_trade", "no signal", "no trade"}
)
_EXECUTED = frozenset(
    "executed filled closed opened placed order_placed order_sent trade_executed submitted cancelled canceled".split()
)


def own_action(scope: Scope) -> tuple[str | None, str]:
    """Fold the verb of a scope into `scope.action` and `scope.strength`; (its key, "") or (None, why there is none)."""
    fields = scope.fields
    for key in scope.shape.get("action", ()):
        value = fields[key]
        if not isinstance(value, str):
            continue
        folded = fold_action(value)
        if folded is not None:
            scope.action, scope.strength = folded
            return key, ""
        if _forbids(key, value):
            return None, f"{key} is {value[:60]!r}, which is no verb of buying, selling or holding"
    return None, NO_VERB


def _forbids(key: str, value: str) -> bool:
    """Tell whether an unknown verb speaks against a signal, so that a weaker key must not be asked after it."""
    verb = value[:60].strip().lower()
    return verb not in _OPENERS if key in _ACTION else key in _FIRM and verb in _NO_ADVICE


def unlike_advice(scope: Scope, key: str) -> str | None:
    """Say why a scope whose verb folds is nevertheless no signal; None when it is one."""
    if scope.is_named and not scope.is_item and key not in _TYPE:
        return None
    shape, has_levels = scope.shape, scope.has_levels()
    if key in _TYPE and not (scope.is_named and (has_levels or scope.has("confidence") or scope.has("entry"))):
        return "a type alone is no advice"
    if "component" in shape and not has_levels:
        return "is one component's opinion"
    if scope.is_item and not has_levels and not _stands_alone(scope):
        return "has no symbol, price or confidence of its own"
    if scope.is_named or (key in _SURE and not scope.is_item) or not _SIGNAL_ID.isdisjoint(scope.fields):
        return None
    if scope.has("order") or is_position(scope) or (key not in _SURE and _is_executed(scope)):
        return "is an order, a position or a trade"
    if key in _SURE or key in _VERDICTS or has_levels or scope.has("confidence"):
        return None
    return _unlike_bare_advice(scope, key)


def _unlike_bare_advice(scope: Scope, key: str) -> str | None:
    """Judge a verb without levels and confidence under a key that trades and webhooks use as well."""
    if key in _WEAK:
        return "a side without levels or confidence is no advice"
    if scope.has("entry"):
        return None
    if scope.is_item:
        return "has no level or confidence"
    is_told = scope.has("reasoning") or (scope.has("price") and not scope.has("quantity"))
    return None if is_told else "has no level, confidence or reasoning"


def _stands_alone(scope: Scope) -> bool:
    if scope.name is not None or scope.has("symbol") or scope.has("entry"):
        return True
    return "voter" not in scope.shape and (scope.has("confidence") or scope.has("price"))


def _is_executed(scope: Scope) -> bool:
    fields = scope.fields
    return any(
        isinstance(fields[key], str) and str(fields[key])[:40].lower() in _EXECUTED
        for key in scope.shape.get("status", ())
    )


def is_position(scope: Scope) -> bool:
    """Tell whether a dict is an order or an open position, so that a verdict in it advises on that one."""
    return any(_tells_position(key, scope.fields[key]) for key in scope.shape.get("position", ()))


def _tells_position(key: str, value: object) -> bool:
    """Take an id, or an object with a side or a profit; the size that is advised (`position: {size}`) is neither."""
    if isinstance(value, dict):
        inner = Scope(value)
        return not _POSITION_SLOTS.isdisjoint(inner.shape)
    return value is not None and (key not in _POSITIONS or (key in _ORDER and isinstance(value, int)))


def is_whole_opinion(scope: Scope, key: str) -> bool:
    """Tell whether an analysis is a verdict by itself: with levels, or with a confidence under a verdict's key."""
    is_sure = key in _VERDICTS or (key in _SURE and not _TECHNICAL.issuperset(scope.step))
    return scope.has_levels() or (is_sure and scope.has("confidence"))
