"""`JournalRepo`: what happened to orders, as fields that can be counted and followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stateful_engine.domain import clock
from stateful_engine.domain.actions import fold_action
from stateful_engine.errors import Fault, InvalidInputError
from stateful_engine.services import inputs
from stateful_engine.services.binding import Bound
from stateful_engine.storage import journal
from stateful_engine.storage.journal import TradeEvent
from stateful_engine.storage.pages import Page

NUMBERS = ("price", "sl", "tp", "old_sl", "volume", "pnl", "r_multiple", "distance_atr")
TEXTS = ("ticket", "signal_id", "method", "momentum", "oco_group")
ALIASES = {
    "stop_loss": "sl",
    "new_sl": "sl",
    "take_profit": "tp",
    "previous_sl": "old_sl",
    "direction": "side",
    "type": "side",
    "r": "r_multiple",
    "order_ticket": "ticket",
    "trade_id": "ticket",
    "profit": "pnl",
    "distance": "distance_atr",
    "lots": "volume",
}
MAX_NOTES = 8192


class JournalRepo(Bound):
    """Keeps trade events: `log_event("oco_triggered", ticket=…)` or `log_event({"event": "oco_triggered", …})`."""

    def log_event(self, event: str | Mapping[str, Any], **fields: Any) -> int:
        """Record an event; returns its id. Fields that are no columns are kept in `extra`."""
        given = {**event, **fields} if isinstance(event, Mapping) else {**fields, "event": event}
        values = _columns(given, self._database.secret_keys)
        with self._database.transaction() as session:
            return journal.insert(session, values)

    def log_oco_result(self, pair: Any, *, filled: str | None = None, error: str | None = None, **fields: Any) -> int:
        """Record how a pair of orders ended: one was `filled` ("A" or "B") and the other cancelled, or it failed.

        `pair` is an object or a mapping with any of `symbol, group, order_a_ticket, order_b_ticket, order_a_side,
        order_b_side, signal_id`.
        """
        if (filled is None) == (error is None):
            raise InvalidInputError('say either filled="A" or "B", or error="…"')
        side = None if filled is None else (inputs.text(filled) or "").strip().upper()
        if side not in (None, "A", "B"):
            raise InvalidInputError(f"{str(side)[:40]!r} is no order of the pair; use A or B")
        other = {"A": "B", "B": "A"}.get(side or "")
        known = {
            "symbol": _get(pair, "symbol"),
            "oco_group": _get(pair, "oco_group", "group", "group_id", "oco_group_id", "id"),
            "signal_id": _get(pair, "signal_id"),
            "cancelled_ticket": None if other is None else _order(pair, other, "ticket"),
        }
        if side is not None:
            known |= {name: _order(pair, side, name) for name in ("ticket", "side", "price", "sl", "tp", "volume")}
        else:
            known["notes"] = error
        event = "oco_failure" if error is not None else "oco_triggered"
        kept = {name: value for name, value in known.items() if value is not None}
        return self.log_event(event, **{**kept, **({"filled": side} if side else {}), **fields})

    def log_trailing_stop(self, position: Any, result: Any, **fields: Any) -> int:
        """Record that the stop of a position was moved.

        `position` has `ticket, symbol, side, price`, `result` has `new_sl, old_sl, method, momentum, r_multiple,
        distance_atr`; both may be objects or mappings.
        """
        known = {
            "ticket": _get(position, "ticket", "order", "id"),
            "symbol": _get(position, "symbol"),
            "side": _get(position, "side", "direction", "type"),
            "price": _get(position, "price", "price_current", "current_price"),
            "signal_id": _get(position, "signal_id"),
            "old_sl": _get(result, "old_sl", "previous_sl") or _get(position, "sl", "stop_loss"),
            "sl": _get(result, "new_sl", "sl", "stop_loss"),
            "method": _get(result, "method", "trailing_method"),
            "momentum": _get(result, "momentum", "momentum_status"),
            "r_multiple": _get(result, "r_multiple", "r", "current_r"),
            "distance_atr": _get(result, "distance_atr", "distance", "trail_distance_atr"),
        }
        kept = {name: value for name, value in known.items() if value is not None}
        return self.log_event("trailing_stop_adjusted", **{**kept, **fields})

    def recent(self, limit: int = 50, event: str | None = None, ticket: Any = None) -> list[dict[str, Any]]:
        """The newest events first, at most `limit` (1–1000)."""
        with self._database.reading() as session:
            return list(
                journal.recent(
                    session,
                    inputs.limit(limit, most=1000),
                    event=inputs.text(event),
                    ticket=inputs.text(ticket),
                )
            )

    def page(
        self,
        limit: int = 50,
        cursor: str | None = None,
        *,
        days: int = 0,
        event: Any = None,
        ticket: Any = None,
        signal_id: Any = None,
    ) -> Page:
        """One page of events, newest first; `days=0` looks at all of them."""
        wanted = {"event": event, "ticket": ticket, "signal_id": signal_id}
        return self._page(
            TradeEvent, limit, cursor, days, **{name: inputs.text(value) for name, value in wanted.items()}
        )


def _columns(given: Mapping[str, Any], secret_keys: frozenset[str]) -> dict[str, Any]:
    """The columns of an event; what is no column, or no number where one belongs, goes to `extra`."""
    named: dict[str, Any] = {}
    extra: dict[str, Any] = dict(inputs.mapping(given.get("extra"), "extra"))
    for name, value in given.items():
        column = ALIASES.get(name, name)
        if column in journal.COLUMNS and column != "extra" and column not in named:
            named[column] = value
        elif name != "extra":
            extra[name] = value
    kind = inputs.text(named.get("event"))
    if kind is None:
        detail = "event is missing; say what happened, for example oco_triggered"
        raise InvalidInputError(detail, errors=(Fault("/event", detail, "MISSING"),))
    values: dict[str, Any] = {"event": kind, "notes": inputs.text(named.get("notes"), most=MAX_NOTES)}
    values |= {name: inputs.text(named.get(name)) for name in TEXTS}
    values |= numbers_of(named, extra)
    values["symbol"] = inputs.instrument(named.get("symbol"))
    values["side"] = _side(named.get("side"))
    values["timestamp"] = inputs.moment(named.get("timestamp"), "timestamp") or clock.now()
    values["extra"] = inputs.mapping(extra, "extra", secret_keys=secret_keys) or None
    return values


def numbers_of(given: Mapping[str, Any], extra: dict[str, Any]) -> dict[str, float | None]:
    """The numbers of an event; what is none ("market") goes to `extra`: no event is lost for it."""
    found: dict[str, float | None] = {}
    for name in NUMBERS:
        try:
            found[name] = inputs.optional_finite(given.get(name), name)
        except InvalidInputError:
            found[name], extra[name] = None, inputs.text(given[name])
    return found


def _side(value: Any) -> str | None:
    """BUY or SELL where that is what was said; any other word as it was given."""
    folded = fold_action(value)
    return inputs.text(value) if folded is None else str(folded[0])


def _get(source: Any, *names: str) -> Any:
    """The first of some attributes or keys that is there."""
    for name in names:
        value = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
        if value is not None:
            return value
    return None


def _order(pair: Any, letter: str, name: str) -> Any:
    """A field of order A or B of a pair, as usual bots spell it: `order_a_ticket`, `ticket_a`, `order_a.ticket`."""
    low = letter.lower()
    flat = _get(pair, f"order_{low}_{name}", f"{name}_{low}", f"{low}_{name}")
    if flat is not None:
        return flat
    order = _get(pair, f"order_{low}", low, letter)
    return _get(order, name) if order is not None and not isinstance(order, (str, int)) else _bare(order, name)


def _bare(order: Any, name: str) -> Any:
    """An order that is only a number is its ticket."""
    return order if name == "ticket" else None
