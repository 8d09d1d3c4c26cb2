"""From an answer to records: find the signals, make the ids, hand everything to the recorder at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from stateful_engine.domain import clock, identifiers
from stateful_engine.domain.extraction import ExtractedSignal, extract, extract_one
from stateful_engine.domain.vocabulary import InteractionType
from stateful_engine.errors import InvalidInputError, SpoolFullError
from stateful_engine.recording.columns import interaction_row, signal_row
from stateful_engine.recording.records import Call
from stateful_engine.request_info import RequestInfo
from stateful_engine.services import inputs
from stateful_engine.tracking import dedupe
from stateful_engine.tracking.options import DEFAULT_SOURCE, Options
from stateful_engine.tracking.responses import Answer, Ids

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

_NO_SIGNAL_METHODS = frozenset(("HEAD", "OPTIONS"))


def settle(
    runtime: Runtime, options: Options, info: RequestInfo, *, answer: Answer, elapsed: float, error: str | None
) -> Ids:
    """Record one tracked call; returns the ids that the client may be told, none when nothing was recorded.

    `elapsed` is in seconds; `error` is the class name of the exception that ended the call, never its text.
    """
    found = _signals(runtime, options, info, answer)
    query_id = identifiers.query_id()
    created_us = clock.epoch_us()
    context = _context(options, info, query_id if options.log_query else None)
    rows = [signal_row(identifiers.signal_id(), signal, context, created_us=created_us) for signal in found]
    fresh, ids = _deduped(runtime, rows, options.dedupe_seconds)
    query = _query_row(options, info, answer=answer, elapsed=elapsed, error=error, found=found)
    call = Call(
        created_us=created_us,
        query_id=query_id,
        query=query if options.log_query else None,
        body=answer.data if options.log_query and runtime.settings.capture_response else None,
        signals=fresh,
        interactions=[_generated(row, info, options, created_us) for row in fresh],
    )
    if not _recorded(runtime, call):
        _forget(runtime, fresh, options.dedupe_seconds)
        return Ids()
    return Ids(query_id if options.log_query else None, tuple(ids))


def _recorded(runtime: Runtime, call: Call) -> bool:
    """Hand the call to the recorder; False when there is no room for it."""
    if call.query is None and not call.signals:
        return True
    try:
        runtime.recorder.record(call)
    except SpoolFullError as error:
        runtime.guard.count("dropped")
        runtime.guard.caught("record_a_call", error)
        return False
    return True


def _signals(
    runtime: Runtime, options: Options, info: RequestInfo, answer: Answer
) -> tuple[ExtractedSignal, ...] | list[ExtractedSignal]:
    """The signals in a 2xx JSON answer; a failure to read them costs the signals, never the query."""
    if not options.signals or answer.data is None or not answer.successful or info.method in _NO_SIGNAL_METHODS:
        return ()
    with runtime.guard("extract_signals"):
        if options.extractor is not None:
            given = options.extractor(orjson.loads(answer.data), dict(info.lookup))
            return _understood(runtime, given)
        extraction = extract(answer.body, request=info.lookup, mapping=options.mapping)
        if not extraction.recognised:
            runtime.guard.count("unrecognised_shapes")
        return extraction.signals
    return ()


def _understood(runtime: Runtime, given: Any) -> list[ExtractedSignal]:
    """What a host's own extractor gave, as signals; an item that is none is counted and never costs its neighbours."""
    items: Iterable[Any]
    if given is None:
        items = ()
    elif isinstance(given, (Mapping, ExtractedSignal)):
        items = (given,)
    else:
        items = given
    found: list[ExtractedSignal] = []
    with runtime.guard("extract_signals"):
        for item in items:
            if isinstance(item, ExtractedSignal):
                found.append(item)
            elif isinstance(item, Mapping):
                found.extend(_folded(runtime, item))
            else:
                runtime.guard.count("unusable_extractor_items")
    return found


def _folded(runtime: Runtime, fields: Mapping[str, Any]) -> tuple[ExtractedSignal, ...]:
    try:
        return (extract_one(fields),)
    except InvalidInputError:
        runtime.guard.count("unusable_extractor_items")
        return ()


def _context(options: Options, info: RequestInfo, query_id: str | None) -> dict[str, Any]:
    """What the door knows about the call, for the rows of its signals."""
    return {
        "query_id": query_id,
        "source": options.source if options.source != DEFAULT_SOURCE else info.source,
        "source_engine": options.source_engine,
        "endpoint": options.endpoint or info.endpoint,
        "user_agent": info.user_agent,
        "ip_address": info.remote_addr,
    }


def _deduped(runtime: Runtime, rows: list[dict[str, Any]], seconds: float) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows to store, and the ids to give to the client, where a repeated signal goes by its earlier id."""
    if not seconds or not rows:
        return rows, [row["signal_id"] for row in rows]
    fresh: list[dict[str, Any]] = []
    ids: list[str] = []
    for row in rows:
        earlier = None
        with runtime.guard("look_for_repeated_signals"):
            earlier = dedupe.earlier_id(runtime.cache, row, seconds)
        if earlier is None:
            fresh.append(row)
        ids.append(earlier or row["signal_id"])
    return fresh, list(dict.fromkeys(ids))


def _forget(runtime: Runtime, rows: list[dict[str, Any]], seconds: float) -> None:
    if seconds:
        with runtime.guard("look_for_repeated_signals"):
            for row in rows:
                dedupe.forget(runtime.cache, row)


def _query_row(
    options: Options,
    info: RequestInfo,
    *,
    answer: Answer,
    elapsed: float,
    error: str | None,
    found: Iterable[ExtractedSignal],
) -> dict[str, Any]:
    first = next(iter(found), None)
    successful = 200 <= answer.status < 400
    return {
        "endpoint": options.endpoint or info.endpoint,
        "method": options.method or info.method,
        "request_params": info.params,
        "user_query": info.user_query,
        "response_status": answer.status,
        "processing_time_ms": round(elapsed * 1000, 3),
        "ai_model_used": None if first is None else first.ai_model,
        "confidence_score": None if first is None else first.confidence,
        "user_agent": info.user_agent,
        "ip_address": info.remote_addr,
        "session_id": info.session_id,
        "referer": info.referer,
        "conversation_ref": info.conversation_ref,
        "user_ref": info.user_ref,
        "gpt_id": info.gpt_id,
        "request_id": info.request_id,
        "is_successful": successful,
        "error_message": None if successful else error,
    }


def _generated(row: Mapping[str, Any], info: RequestInfo, options: Options, created_us: int) -> dict[str, Any]:
    """The interaction that says that a signal was generated, and through which door."""
    source = info.source if options.source == DEFAULT_SOURCE else inputs.interaction_source(options.source)
    return interaction_row(
        identifiers.interaction_id(),
        row["signal_id"],
        InteractionType.SIGNAL_GENERATED.value,
        source,
        created_us=created_us,
        data={"endpoint": row["endpoint"]},
        user_agent=info.user_agent,
        ip_address=info.remote_addr,
    )
