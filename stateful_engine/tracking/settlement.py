"""From an answer to records: find the signals, make the ids, hand everything to the recorder at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import orjson

from stateful_engine.domain import clock, identifiers
from stateful_engine.domain.extraction import ExtractedSignal, extract, extract_one, located
from stateful_engine.domain.recent import Recent
from stateful_engine.domain.vocabulary import InteractionType
from stateful_engine.errors import InvalidInputError, SpoolFullError
from stateful_engine.installation import people_of
from stateful_engine.recording import stamping
from stateful_engine.recording.columns import interaction_row, signal_row
from stateful_engine.recording.records import BODY_LIMIT, Call
from stateful_engine.request_info import RequestInfo
from stateful_engine.services import inputs
from stateful_engine.tracking import dedupe
from stateful_engine.tracking.options import DEFAULT_SOURCE, Options
from stateful_engine.tracking.responses import MAX_RECENT_BYTES, RECENT_BODIES, Answer, Ids

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime
    from stateful_engine.recording.stamping import Stamp

_NO_SIGNAL_METHODS = frozenset(("HEAD", "OPTIONS"))


def settle(
    runtime: Runtime,
    options: Options,
    info: RequestInfo,
    *,
    answer: Answer,
    elapsed: float,
    error: str | None,
    stamp: Stamp | None,
) -> Ids:
    """Record one tracked call; returns the ids that the client may be told, none when nothing was recorded.

    `elapsed` is in seconds; `error` is the class name of the exception that ended the call, never its text; `stamp`
    the variant that was served in it.
    """
    found = _signals(runtime, options, info, answer)
    query_id, created_us = identifiers.query_id(), clock.epoch_us()
    query = _query_row(options, info, answer=answer, elapsed=elapsed, error=error)
    unread = _unread_signal(options, info, query_id) if found is None else None
    if stamp is not None:
        query.update(stamping.columns(stamp))
        if unread is not None:
            unread["stamp"] = [stamp.experiment, stamp.variant, stamp.unit]
    rows: list[dict[str, Any]] = []
    ids: list[str] = [] if unread is None else [unread["signal_id"]]
    if found:
        query.update(ai_model_used=found[0].ai_model, confidence_score=found[0].confidence)
        context = {**_context(options, info, query_id), "stamp": stamp}
        every = [signal_row(identifiers.signal_id(), one, context, created_us=created_us) for one in found]
        rows, ids = _deduped(runtime, every, options.dedupe_seconds)
    keeps_body = options.log_query and runtime.settings.capture_response
    call = Call(
        created_us,
        query_id,
        query if options.log_query else None,
        answer.data if keeps_body else None,
        rows,
        [_generated(row, info, options, created_us) for row in rows],
        unread,
    )
    if not _recorded(runtime, call):
        _forget(runtime, rows, options.dedupe_seconds)
        return Ids()
    return Ids(query_id if options.log_query else None, tuple(ids))


def _query_row(
    options: Options, info: RequestInfo, *, answer: Answer, elapsed: float, error: str | None
) -> dict[str, Any]:
    successful = 200 <= answer.status < 400
    return {
        "endpoint": options.endpoint or info.endpoint,
        "method": options.method or info.method,
        "request_params": info.params,
        "user_query": info.user_query,
        "response_status": answer.status,
        "processing_time_ms": round(elapsed * 1000, 3),
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


def _unread_signal(options: Options, info: RequestInfo, query_id: str) -> dict[str, Any]:
    """What goes with the one signal of an answer that the writer reads: its ids, and where it came from.

    Its ids share the random part of `query_id`: they are unique each in its table, and this costs half of making two.
    """
    return {
        "signal_id": "sig" + query_id[3:],
        "interaction_id": "int" + query_id[3:],
        "interaction_source": _interaction_source(options, info),
        "source": _source(options, info),
        "source_engine": options.source_engine,
        "mapping": None if options.mapping is None else dict(options.mapping),
    }


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


def _signals(runtime: Runtime, options: Options, info: RequestInfo, answer: Answer) -> Sequence[ExtractedSignal] | None:
    """The signals in a 2xx JSON answer; None for exactly one that the writer may read.

    A failure to read them costs the signals, never the query.
    """
    if not options.signals or answer.data is None or not answer.successful or info.method in _NO_SIGNAL_METHODS:
        return ()
    with runtime.guard("extract_signals"):
        if options.extractor is not None:
            given = options.extractor(orjson.loads(answer.data), deepcopy(info.lookup))
            return _understood(runtime, given)
        number, recognised = _places(options, answer)
        if not recognised:
            runtime.guard.count("unrecognised_shapes")
        if not number:
            return ()
        if number == 1 and _can_be_read_later(runtime, options, answer):
            return None
        body = people_of(runtime.settings).in_json(answer.body)
        found = extract(body, request=info.lookup, mapping=options.mapping).signals
        return found or extract(answer.body, request=info.lookup, mapping=options.mapping).signals
    return ()


Places = tuple[int, bool]
"""How many signals there are in a body, and whether its shape is known."""

_recent: Recent[bytes, Places] = Recent(RECENT_BODIES)
"""By the bytes of bodies that are likely to come again."""


def _places(options: Options, answer: Answer) -> Places:
    data = answer.data
    if data is None or len(data) > MAX_RECENT_BYTES or options.mapping is not None:
        return _located(options, answer)
    known = _recent.get(data)
    if known is None:
        known = _located(options, answer)
        _recent.keep(data, known)
    return known


def _located(options: Options, answer: Answer) -> Places:
    locator = located(answer.body, mapping=options.mapping)
    return len(locator.candidates), locator.recognised


def _can_be_read_later(runtime: Runtime, options: Options, answer: Answer) -> bool:
    """Whether what the signal says is needed by nobody before the writer has it, which gets the body as it is."""
    return (
        answer.raw is answer.data is not None
        and len(answer.data) <= BODY_LIMIT
        and options.log_query
        and not options.dedupe_seconds
        and runtime.settings.capture_response
    )


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
        return (extract_one(people_of(runtime.settings).in_json(fields)),)
    except InvalidInputError:
        runtime.guard.count("unusable_extractor_items")
        return ()


def _context(options: Options, info: RequestInfo, query_id: str) -> dict[str, Any]:
    """What the door knows about the call, for the rows of its signals."""
    return {
        "query_id": query_id if options.log_query else None,
        "source": _source(options, info),
        "source_engine": options.source_engine,
        "endpoint": options.endpoint or info.endpoint,
        "user_agent": info.user_agent,
        "ip_address": info.remote_addr,
    }


def _source(options: Options, info: RequestInfo) -> str:
    return info.source if options.source == DEFAULT_SOURCE else options.source


def _interaction_source(options: Options, info: RequestInfo) -> str:
    return info.source if options.source == DEFAULT_SOURCE else inputs.interaction_source(options.source)


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


def _generated(row: Mapping[str, Any], info: RequestInfo, options: Options, created_us: int) -> dict[str, Any]:
    """The interaction that says that a signal was generated, and through which door."""
    return interaction_row(
        identifiers.interaction_id(),
        row["signal_id"],
        InteractionType.SIGNAL_GENERATED.value,
        _interaction_source(options, info),
        created_us=created_us,
        data={"endpoint": row["endpoint"]},
        user_agent=info.user_agent,
        ip_address=info.remote_addr,
    )
