"""Answers that succeed and yet issue nothing: rejected, blocked, failed, switched off."""

from __future__ import annotations

from stateful_engine.domain.scopes import Scope

_FINE = frozenset({"success", "ok", "approved", "active", "completed", "generated", "valid", "SUCCESS", "OK"})
_REFUSING_WORDS = frozenset(
    "error errors rejected reject blocked failed fail failure denied refused invalid halted disabled insufficient "
    "unavailable timeout exceeded cooldown skipped filtered suppressed unauthorized forbidden aborted breaker".split()
)
_REFUSING = frozenset(
    "false not_found not_issued not_approved not_available not_allowed not_ready criteria_not_met market_closed".split()
)
_REFUSING_STARTS = ("no_signal", "no_trade", "no_data", "no_setup", "no_opportunit", "below_")
_ITEM_REFUSING_WORDS = frozenset({"error", "rejected", "reject", "blocked", "denied", "refused", "invalid"})
_SLOTS = frozenset({"status", "success", "refused", "status_code", "error"})
_MAX_STATUS = 60


def refusal(scope: Scope) -> str | None:
    """Say why a scope issued nothing; None when it does not refuse."""
    shape = scope.shape
    if _SLOTS.isdisjoint(shape):
        return None
    fields = scope.fields
    for key in shape.get("status", ()):
        if _is_refusing(fields[key], is_item=scope.is_item):
            return f"{key} is {str(fields[key])[:40]!r}: nothing was issued"
    for key in shape.get("success", ()):
        if _is_false(fields[key]):
            return f"{key} is false: nothing was issued"
    for key in shape.get("refused", ()):
        if fields[key] is True:
            return f"{key} is true: nothing was issued"
    for key in shape.get("status_code", ()):
        if _is_failing_code(fields[key]):
            return f"{key} is {fields[key]}: nothing was issued"
    return _error(scope) if "error" in shape else None


def _error(scope: Scope) -> str | None:
    """Take a set `error` as a refusal, unless the same dict says in so many words that it succeeded."""
    key = next((key for key in scope.shape["error"] if scope.fields[key]), None)
    return None if key is None or _says_success(scope) else f"{key} is set: nothing was issued"


def _says_success(scope: Scope) -> bool:
    fields, shape = scope.fields, scope.shape
    return any(fields[key] is True for key in shape.get("success", ())) or any(
        isinstance(fields[key], str) and fields[key] in _FINE for key in shape.get("status", ())
    )


def _is_false(value: object) -> bool:
    return value is False or (isinstance(value, str) and value.lower() == "false")


def _is_failing_code(value: object) -> bool:
    return type(value) is int and value >= 400


def _is_refusing(status: object, *, is_item: bool) -> bool:
    """Read a status; in a listing `failed` or `expired` tells how a signal ended, not that there was none."""
    if not isinstance(status, str):
        return status is False or _is_failing_code(status)
    if status in _FINE or len(status) > _MAX_STATUS:
        return False
    folded = status.strip().lower().replace(" ", "_").replace("-", "_")
    words = folded.split("_")
    if is_item:
        return not _ITEM_REFUSING_WORDS.isdisjoint(words)
    return folded in _REFUSING or folded.startswith(_REFUSING_STARTS) or not _REFUSING_WORDS.isdisjoint(words)
