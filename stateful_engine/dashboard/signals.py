"""The signals: a list with filters, and each with everything that happened to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flask.typing import ResponseReturnValue
from markupsafe import Markup

from stateful_engine.dashboard import formats, svg
from stateful_engine.dashboard.listings import Asked, Column, Filter, Listing, asked, context
from stateful_engine.dashboard.rendering import render
from stateful_engine.dashboard.svg_canvas import nothing
from stateful_engine.domain.vocabulary import Action, Outcome
from stateful_engine.errors import ConfigurationError, InvalidInputError, SignalNotFoundError
from stateful_engine.services import signal_pictures

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime
    from stateful_engine.services.signal_pictures import Picture
    from stateful_engine.storage.pages import Page

Data = Mapping[str, Any]

LONGEST_ID = 255
LEVEL_NAMES = {"entry": "entry", "tp": "TP", "sl": "SL", "exit": "exit"}


def _fetch(runtime: Runtime, wanted: Asked, limit: int) -> Page:
    filters = runtime.state_manager.signal_filters(
        days=wanted.days,
        symbol=wanted.get("symbol"),
        timeframe=wanted.get("timeframe"),
        action=wanted.get("action"),
        outcome=wanted.get("outcome"),
        source_engine=wanted.get("engine"),
    )
    return runtime.state_manager.signal_page(filters, wanted.cursor, limit)


LISTING = Listing(
    name="signals",
    title="Signals",
    columns=(
        Column("Time", "created_at", formats.moment, page="signal", page_argument="signal_id", page_field="signal_id"),
        Column("Symbol", "symbol"),
        Column("Timeframe", "timeframe"),
        Column("Action", "action"),
        Column("Confidence", "confidence", formats.number, is_number=True),
        Column("Entry", "entry_price", formats.price, is_number=True),
        Column("Target", "take_profit", formats.price, is_number=True),
        Column("Stop", "stop_loss", formats.price, is_number=True),
        Column("Executed", "is_executed", formats.yes_no),
        Column("Outcome", "outcome", formats.outcome),
        Column("R", "r_multiple", formats.signed, is_number=True),
        Column("P&L %", "pnl_percentage", formats.signed, is_number=True),
        Column("Engine", "source_engine"),
        Column("Signal id", "signal_id"),
    ),
    filters=(
        Filter("symbol", "Symbol"),
        Filter("timeframe", "Timeframe"),
        Filter("action", "Action", tuple((word.value, word.value) for word in Action)),
        Filter("outcome", "Outcome", tuple((word.value, word.value) for word in Outcome)),
        Filter("engine", "Engine"),
    ),
    fetch=_fetch,
    empty="No signal was recorded in this period, or none that these filters let through.",
    command="@track_signal_generation above a view records its signals; POST /track-signal records one from elsewhere",
)


def view(runtime: Runtime) -> ResponseReturnValue:
    """One page of signals, newest first."""
    return render("list.html", **context(runtime, LISTING, asked(LISTING)))


def view_one(runtime: Runtime, signal_id: str) -> ResponseReturnValue:
    """One signal with its timeline; unknown ids are a page with the status 404."""
    if len(signal_id) > LONGEST_ID:
        raise SignalNotFoundError("no signal has an id as long as this; open one from the list of signals")
    signal = runtime.state_manager.timeline(signal_id)
    timeline = signal.pop("timeline")
    return render(
        "signal.html",
        signal=signal,
        timeline=[(event["at"], event["kind"], WORDS[event["kind"]](event["data"])) for event in timeline],
        candles=_candles(runtime, signal),
        raw=json.dumps({**signal, "timeline": timeline}, indent=2, ensure_ascii=False),
    )


def _candles(runtime: Runtime, signal: Data) -> Markup:
    """The picture of the trade, or a sentence that says why there is none; the host's own function may fail."""
    candles = runtime.settings.candles
    if candles is None:
        return nothing("Set STATEFUL_CANDLES to a folder with files such as BTCUSDT-1H.csv.gz to see the candles.")
    with runtime.guard("draw_candles"):
        try:
            return _drawn(signal_pictures.picture_of(candles, signal))
        except (ConfigurationError, InvalidInputError) as error:
            return nothing(error.message)
    return nothing("The candles could not be fetched; what went wrong was logged.")


def _drawn(found: Picture) -> Markup:
    levels = [svg.Level(level.kind, LEVEL_NAMES[level.kind], level.price, level.at_ms) for level in found.levels]
    return svg.candles(found.rows, levels, title=found.title, empty="No candles of this market cover the signal.")


# What happened, in words


def _query(data: Data) -> str:
    asked_for = f"“{data['user_query']}” " if data.get("user_query") else ""
    took = formats.number(data.get("processing_time_ms"), 1)
    return f"{asked_for}{data.get('method') or ''} {data.get('endpoint')}: {data.get('response_status')} in {took} ms"


def _signal(data: Data) -> str:
    return f"{data['action']} was recorded as {data['signal_id']}"


def _interaction(data: Data) -> str:
    who = f" by {data['user_id']}" if data.get("user_id") else ""
    extra = data.get("interaction_data")
    more = f": {json.dumps(extra, ensure_ascii=False)}" if extra else ""
    return f"{data['interaction_type']} through {data['interaction_source']}{who}{more}"


def _figure(value: Any) -> str:
    """A price or result without the noise of binary fractions; ids and words as they are."""
    return formats.price(round(value, 8)) if isinstance(value, float) else str(value)


def _journal(data: Data) -> str:
    named = ("ticket", "price", "sl", "tp", "pnl", "r_multiple", "notes")
    said = ", ".join(f"{name} {_figure(data[name])}" for name in named if data.get(name) is not None)
    return f"{data['event']}: {said}" if said else str(data["event"])


def _outcome(data: Data) -> str:
    exit_price = f" at {formats.price(data['exit_price'])}" if data.get("exit_price") is not None else ""
    r = f", {formats.r(data['r_multiple'])}" if data.get("r_multiple") is not None else ""
    reason = f" ({data['exit_reason']})" if data.get("exit_reason") else ""
    doubt = ", decided by the policy for ambiguous candles" if data.get("ambiguous") else ""
    return f"{data['outcome']}{reason}{exit_price}{r}{doubt}"


WORDS: Mapping[str, Callable[[Data], str]] = {
    "query": _query,
    "signal": _signal,
    "interaction": _interaction,
    "journal": _journal,
    "outcome": _outcome,
}
