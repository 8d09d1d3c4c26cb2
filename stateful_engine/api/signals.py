"""Operations on signals: record one, find them, say what became of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from stateful_engine.api import fields
from stateful_engine.api.assignments import Assigned, made_under
from stateful_engine.api.contract import Answer, Call, Nothing, Operation, PathParameter
from stateful_engine.api.fields import is_storable
from stateful_engine.api.pages import page_reply
from stateful_engine.api.saved import PENDING, saved_reply
from stateful_engine.api.schemas import CURSOR, Body, Envelope, Model, PageEnvelope, PageQuery, Signal, Timestamp
from stateful_engine.domain.extraction import extract_one
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.errors import (
    Fault,
    InvalidInputError,
    SignalNotFoundError,
)
from stateful_engine.installation import people_of

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

SIGNAL_ID = PathParameter("signal_id", "The signal_id that came with the signal.", "sig_a1b2c3d4e5f6_1691234567")
ENVELOPE = frozenset({"assignment", "source", "user_id"})
"""Fields of the body that are about the report and not about the signal."""


class SignalFields(Body):
    """A signal as its engine states it; usual spellings fold, unknown fields are kept in `extra`."""

    model_config = ConfigDict(extra="allow")

    symbol: fields.AnySymbol = Field(default=None, description="What is traded, for example BTCUSDT.")
    action: fields.AnyAction = Field(default=None, description="BUY, SELL or HOLD; long and short are understood.")
    timeframe: fields.AnyTimeframe = Field(default=None, description="Candle length, for example 15m, 1H, 4H or 1D.")
    confidence: fields.AnyPercent = Field(default=None, description="How sure the engine is, 0 to 100.")
    entry_price: fields.AnyNumber = Field(default=None, description="Price at which to enter.")
    take_profit: fields.AnyNumber = Field(default=None, description="First target.")
    stop_loss: fields.AnyNumber = Field(default=None, description="Price at which the idea is wrong.")
    risk_reward_ratio: fields.AnyNumber = Field(default=None, description="Reward divided by risk.")
    ai_reasoning: fields.AnyProse = Field(default=None, description="Why, in words.")
    smc_analysis: fields.AnyObject = Field(
        default=None, description="Smart money analysis: order blocks, gaps, structure."
    )
    technical_indicators: fields.AnyObject = Field(default=None, description="Indicator values behind the signal.")
    market_conditions: fields.AnyCondition = Field(
        default=None, description="State of the market, for example BULLISH."
    )
    source_engine: fields.AnyLabel = Field(default=None, description="Name of the engine that made the signal.")
    ai_model: fields.AnyLabel = Field(default=None, description="Model that made the signal, when one did.")
    prompt_version: fields.AnyLabel = Field(default=None, description="Version of the prompt that made the signal.")


class TrackSignalBody(SignalFields, Assigned):
    """One signal, flat or inside `signal_data`."""

    model_config = ConfigDict(extra="allow")

    signal_data: SignalFields | None = Field(default=None, description="The signal, when it is not given flat.")
    source: fields.Name | None = Field(default=None, description="Who reports it, for example ChatGPT.")
    user_id: fields.PersonId | None = Field(default=None, description="Whom the signal was made for.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class TrackSignalReply(Envelope):
    """The recorded signal."""

    signal_id: str = Field(description="Names the signal from now on.")
    pending: bool | None = Field(default=None, description=PENDING)


class SignalHistoryQuery(PageQuery):
    """Which signals to list."""

    cursor: fields.SignalCursor | None = Field(default=None, description=CURSOR)
    symbol: fields.FilterText | None = Field(default=None, description="Only this symbol, in any spelling.")
    timeframe: fields.Timeframe | None = Field(default=None, description="Only this candle length, for example 1H.")
    action: fields.ActionWord | None = Field(default=None, description="Only BUY, SELL or HOLD.")
    outcome: fields.OutcomeWord | None = Field(default=None, description="Only signals that ended so.")
    source_engine: fields.FilterText | None = Field(default=None, description="Only this engine.")


class SignalHistoryReply(PageEnvelope):
    """A page of signals, newest first."""

    signals: list[Signal]


class TimelineEntry(Model):
    """Something that happened to a signal."""

    at: Timestamp | None = Field(description="When, UTC.")
    kind: str = Field(description="signal, query, interaction or outcome.")
    data: dict[str, Any] = Field(description="What is recorded about it.")


class SignalReply(Envelope):
    """One signal with what happened to it."""

    signal: Signal
    timeline: list[TimelineEntry] = Field(description="What happened around the signal, oldest first.")


class ExecuteBody(Body):
    """An execution."""

    execution_price: fields.Price = Field(description="Price at which the order was filled.")
    source: fields.InteractionSourceWord = Field(default="API", description="Where it was executed.")
    user_id: fields.PersonId | None = Field(default=None, description="Who executed it.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class InteractionReply(Envelope):
    """The recorded interaction."""

    signal_id: str
    interaction_id: str
    pending: bool | None = Field(default=None, description=PENDING)


class OutcomeBody(Body):
    """How a signal ended."""

    outcome: fields.OutcomeWord | None = Field(
        default=None, description="How it ended; else it follows from the prices."
    )
    pnl_percentage: fields.Percentage | None = Field(default=None, description="Profit or loss in percent.")
    exit_price: fields.Price | None = Field(default=None, description="Price at which the position was left.")
    closed_at: fields.Moment | None = Field(default=None, description="When it ended; now when left out.")
    correct: fields.Flag = Field(default=False, description="Replace a result that was recorded before.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class OutcomeReply(Envelope):
    """The signal as it stands now."""

    signal_id: str
    signal: Signal


class InteractionBody(Body):
    """What somebody did with a signal."""

    interaction_type: fields.InteractionTypeWord = Field(description="What was done.")
    source: fields.InteractionSourceWord = Field(default="API", description="Where it was done.")
    user_id: fields.PersonId | None = Field(default=None, description="Who did it.")
    data: dict[str, Any] | None = Field(default=None, description="Anything else worth keeping.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


def track_signal(runtime: Runtime, call: Call[Nothing, TrackSignalBody]) -> Answer:
    """Record one signal and the interaction SIGNAL_GENERATED."""
    _, inner, beside = _parts(call.raw_body)
    signal = extract_one(people_of(runtime.settings).in_json({**beside, **inner}), strict=True)
    context = {
        "source": call.body.source or call.info.source,
        "user_id": call.body.user_id,
        "endpoint": call.info.endpoint,
        "user_agent": call.info.user_agent,
        "ip_address": call.info.remote_addr,
    }
    with made_under(runtime, call.body.assignment):
        saved = runtime.state_manager.save_extracted(signal, context, durable=True)
    return saved_reply(saved, {"signal_id": saved.id}, headers={"X-Signal-ID": saved.id})


def _faults(body: Mapping[str, Any]) -> list[Fault]:
    """What is missing from the signal in the body, and what in it cannot be meant; pointers lead into the body."""
    root, inner, beside = _parts(body)
    if not inner:
        example = '{"signal_data": {"symbol": "BTCUSDT", "action": "BUY"}}, or these fields flat'
        return [Fault("/signal_data", f"is missing; send for example {example}", "MISSING")]
    given = {**beside, **inner}
    faults = _strict_faults(given)
    if extract_one({**given, "action": "HOLD"}).symbol is None and not any(f.pointer == "/symbol" for f in faults):
        faults.append(Fault("/symbol", "is missing; say what is traded", "MISSING"))
    if not isinstance(given.get("market_conditions"), (str, dict, type(None))):
        faults.append(Fault("/market_conditions", "must be text, for example BULLISH", "WRONG_TYPE"))
    return [_placed(fault, root, inner, beside) for fault in faults]


def _parts(body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """Where the signal is, what it says, and what stands beside it."""
    for name in ("signal_data", "signal"):
        inner = body.get(name)
        if isinstance(inner, dict):
            return f"/{name}", inner, {key: value for key, value in body.items() if key not in {name, *ENVELOPE}}
    return "", {key: value for key, value in body.items() if key not in {"signal_data", *ENVELOPE}}, {}


def _strict_faults(given: Mapping[str, Any]) -> list[Fault]:
    try:
        extract_one(given, strict=True)
    except InvalidInputError as error:
        return list(error.errors)
    return []


def _placed(fault: Fault, root: str, inner: Mapping[str, Any], beside: Mapping[str, Any]) -> Fault:
    """The fault with a pointer into the body as it was sent."""
    name = fault.pointer.split("/")[1] if fault.pointer else ""
    is_beside = name in beside and name not in inner
    return fault if is_beside else replace(fault, pointer=root + fault.pointer)


def signal_history(runtime: Runtime, call: Call[SignalHistoryQuery, Nothing]) -> Answer:
    """One page of signals, newest first."""
    wanted = call.query
    filters = runtime.state_manager.signal_filters(
        days=wanted.days,
        symbol=wanted.symbol,
        timeframe=wanted.timeframe,
        action=wanted.action,
        outcome=wanted.outcome,
        source_engine=wanted.source_engine,
    )
    page = runtime.state_manager.signal_page(filters, wanted.cursor, wanted.limit)
    return page_reply("signals", page, wanted)


def signal(runtime: Runtime, call: Call[Nothing, Nothing]) -> Answer:
    """One signal with its timeline."""
    found = runtime.state_manager.timeline(known_id(call))
    timeline = found.pop("timeline")
    return {"signal": found, "timeline": timeline}


def known_id(call: Call[Any, Any], *, name: str = "signal_id") -> str:
    """The signal id of the path; a text that no record can hold is unknown without asking the database."""
    given = call.path[name]
    if len(given) > SIGNAL_ID.max_length or not is_storable(given):
        raise unknown_signal()
    return given


def unknown_signal() -> SignalNotFoundError:
    """The error for an id that no signal has."""
    return SignalNotFoundError("no signal has this id; look the id up with GET /signal-history")


def execute(runtime: Runtime, call: Call[Nothing, ExecuteBody]) -> Answer:
    """Mark a signal as executed; the first execution stands and is returned again."""
    body = call.body
    done = runtime.state_manager.execute(known_id(call), body.execution_price, source=body.source, user_id=body.user_id)
    return {"signal_id": done.signal_id, "interaction_id": done.interaction_id}


def outcome(runtime: Runtime, call: Call[Nothing, OutcomeBody]) -> Answer:
    """Close a signal."""
    body = call.body
    closed = runtime.state_manager.record_outcome(
        known_id(call),
        body.outcome,
        pnl_percentage=body.pnl_percentage,
        exit_price=body.exit_price,
        closed_at=body.closed_at,
        correct=body.correct,
    )
    return {"signal_id": closed["signal_id"], "signal": closed}


def _outcome_faults(body: Mapping[str, Any]) -> Iterator[Fault]:
    if all(body.get(name) is None for name in ("outcome", "pnl_percentage", "exit_price")):
        yield Fault("/outcome", "is missing; send outcome, pnl_percentage or exit_price", "MISSING")


def interaction(runtime: Runtime, call: Call[Nothing, InteractionBody]) -> Answer:
    """Record what somebody did with a signal that exists."""
    body, signal_id = call.body, known_id(call)
    if runtime.state_manager.get_signal(signal_id) is None:
        raise unknown_signal()
    saved = runtime.state_manager.save_interaction(
        signal_id,
        {
            "type": body.interaction_type,
            "source": body.source,
            "data": body.data,
            "user_id": body.user_id,
            "user_agent": call.info.user_agent,
            "ip_address": call.info.remote_addr,
        },
        durable=True,
    )
    return saved_reply(saved, {"signal_id": signal_id, "interaction_id": saved.id})


OPERATIONS = (
    Operation(
        name="trackSignal",
        method="POST",
        path="/track-signal",
        summary="Record a trading signal",
        description="Records a trading signal and returns the signal_id by which it is followed from now on.",
        scope=Scope.SIGNALS_WRITE,
        handler=track_signal,
        body_model=TrackSignalBody,
        response_model=TrackSignalReply,
        success_statuses=(200, 202),
        missing_code="MISSING_SIGNAL_DATA",
        check_body=_faults,
        forms=(
            {"required": ["signal_data"], "properties": {"signal_data": {"type": "object", **fields.WHOLE_SIGNAL}}},
            fields.FLAT_SIGNAL,
        ),
        nested=("signal_data",),
        flat_required=("symbol", "action"),
    ),
    Operation(
        name="getSignalHistory",
        method="GET",
        path="/signal-history",
        summary="List recorded signals",
        description="Lists recorded signals, newest first, with filters; next_cursor leads to the next page.",
        scope=Scope.SIGNALS_READ,
        handler=signal_history,
        query_model=SignalHistoryQuery,
        response_model=SignalHistoryReply,
    ),
    Operation(
        name="getSignal",
        method="GET",
        path="/signal/<signal_id>",
        summary="Show one signal",
        description="Shows one signal with its timeline: the query behind it, what people did with it, how it ended.",
        scope=Scope.SIGNALS_READ,
        handler=signal,
        path_parameters=(SIGNAL_ID,),
        response_model=SignalReply,
        statuses=(404,),
    ),
    Operation(
        name="executeSignal",
        method="POST",
        path="/signal/<signal_id>/execute",
        summary="Mark a signal as executed",
        description="Records that a signal was traded and at which price. The first execution stands when repeated.",
        scope=Scope.SIGNALS_WRITE,
        handler=execute,
        path_parameters=(SIGNAL_ID,),
        body_model=ExecuteBody,
        response_model=InteractionReply,
        statuses=(404,),
        consequential=True,
        repeatable=True,
    ),
    Operation(
        name="recordOutcome",
        method="POST",
        path="/signal/<signal_id>/outcome",
        summary="Record how a signal ended",
        description="Closes a signal as WIN, LOSS, BREAKEVEN or UNFILLED; profit and R follow from the exit price.",
        scope=Scope.SIGNALS_WRITE,
        handler=outcome,
        path_parameters=(SIGNAL_ID,),
        body_model=OutcomeBody,
        response_model=OutcomeReply,
        check_body=_outcome_faults,
        forms=tuple(
            {"required": [name], "properties": {name: {"type": kind}}}
            for name, kind in (("outcome", "string"), ("pnl_percentage", "number"), ("exit_price", "number"))
        ),
        statuses=(404, 409),
        consequential=True,
    ),
    Operation(
        name="recordInteraction",
        method="POST",
        path="/signal/<signal_id>/interaction",
        summary="Record what somebody did with a signal",
        description="Records a click, view, share, feedback or dismissal of a signal.",
        scope=Scope.INTERACTIONS_WRITE,
        handler=interaction,
        path_parameters=(SIGNAL_ID,),
        body_model=InteractionBody,
        response_model=InteractionReply,
        success_statuses=(200, 202),
        statuses=(404,),
        tag="interactions",
    ),
)
