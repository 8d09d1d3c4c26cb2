"""From an answer to records: find the signals, make the ids, hand everything to the recorder at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import orjson

from stateful_engine.domain import clock, identifiers
from stateful_engine.domain.extraction import ExtractedSignal, extract, extract_one, located
from stateful_engine.domain.vocabulary import InteractionType
from stateful_engine.errors import InvalidInputError, SpoolFullError
from stateful_engine.installation import people_of
from stateful_engine.recording import stamping
from stateful_engine.recording.columns import interaction_row, is_successful, signal_row
from stateful_engine.recording.records import Call as RecordedCall
from stateful_engine.request_info import RequestInfo
from stateful_engine.tracking import dedupe
from stateful_engine.tracking.callers import Caller, interaction_source, query_columns, source, unfolded_columns
from stateful_engine.tracking.options import Options
from stateful_engine.tracking.responses import NO_IDS, Answer, Ids, Places

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime
    from stateful_engine.tracking.observation import Observation

_NO_SIGNAL_METHODS = frozenset(("HEAD", "OPTIONS"))


def settle(call: Observation, caller: Caller, answer: Answer) -> Ids:
    """Record one tracked call; returns the ids that the client may be told, none when nothing was recorded."""
    runtime, options, info = call.runtime, call.options, caller.info
    found = _signals(runtime, options, info, answer)
    if found or call.stamp is not None or not options.log_query:
        return _settle_rows(call, info, answer, found)
    created_us = clock.epoch_us()
    tail = identifiers.tail(created_us)
    has_signal = found is None
    if has_signal and options.mapping is None:
        caller.was_told_one(options, answer.status)
    record = caller.form(options).filled(
        tail,
        created_us,
        status=answer.status,
        milliseconds=call.elapsed * 1000,
        request_id=call.request_id,
        error=call.error_name,
        body=answer.data if runtime.settings.capture_response else None,
        has_signal=has_signal,
    )
    try:
        runtime.recorder.record(record)
    except SpoolFullError as error:
        return dropped(runtime, error)
    return Ids(f"qry{tail}", (f"sig{tail}",) if has_signal else ())


def _settle_rows(call: Observation, info: RequestInfo, answer: Answer, found: Sequence[ExtractedSignal] | None) -> Ids:
    """As `settle` for what no form says: several signals, options that ask for them now, and experiments."""
    runtime, options = call.runtime, call.options
    query_id, created_us = identifiers.query_id(), clock.epoch_us()
    query = {**query_columns(options, info), **_result(call, answer), **stamping.columns(call.stamp)}
    unread = _unread_signal(call, info, query_id) if found is None else None
    rows: list[dict[str, Any]] = []
    ids: list[str] = [] if unread is None else [unread["signal_id"]]
    if found:
        query.update(ai_model_used=found[0].ai_model, confidence_score=found[0].confidence)
        context = _context(call, info, query_id)
        every = [signal_row(identifiers.signal_id(), one, context, created_us=created_us) for one in found]
        rows, ids = _deduped(runtime, every, options.dedupe_seconds)
    keeps_body = options.log_query and runtime.settings.capture_response
    record = RecordedCall(
        created_us,
        query_id,
        query if options.log_query else None,
        answer.data if keeps_body else None,
        rows,
        [_generated(row, info, options, created_us) for row in rows],
        unread,
    )
    if options.log_query or rows:
        try:
            runtime.recorder.record(record)
        except SpoolFullError as error:
            _forget(runtime, rows, options.dedupe_seconds)
            return dropped(runtime, error)
    return Ids(query_id if options.log_query else None, tuple(ids))


def _result(call: Observation, answer: Answer) -> dict[str, Any]:
    """The columns of the query log that tell how the call went."""
    successful = is_successful(answer.status)
    return {
        "response_status": answer.status,
        "processing_time_ms": round(call.elapsed * 1000, 3),
        "request_id": call.request_id,
        "is_successful": successful,
        "error_message": None if successful else call.error_name,
    }


def _unread_signal(call: Observation, info: RequestInfo, query_id: str) -> dict[str, Any]:
    """What goes with the one signal of an answer that the writer reads: its ids, and where it came from."""
    stamp = call.stamp
    unread = {
        "signal_id": "sig" + query_id[3:],
        "interaction_id": "int" + query_id[3:],
        **unfolded_columns(call.options, info),
    }
    return unread if stamp is None else {**unread, "stamp": [stamp.experiment, stamp.variant, stamp.unit]}


def dropped(runtime: Runtime, error: SpoolFullError) -> Ids:
    """There is no room for the record: it is counted, and its ids are told to nobody."""
    runtime.guard.count("dropped")
    runtime.guard.caught("record_a_call", error)
    return NO_IDS


def _signals(runtime: Runtime, options: Options, info: RequestInfo, answer: Answer) -> Sequence[ExtractedSignal] | None:
    """The signals in a 2xx JSON answer; None for exactly one that the writer may read.

    A failure to read them costs the signals, never the query. The writer gets the body as it is, so it may read it
    where nobody needs to know before what the signal says.
    """
    if not options.signals or answer.data is None or not answer.successful or info.method in _NO_SIGNAL_METHODS:
        return ()
    can_wait = options.can_wait and runtime.settings.capture_response and answer.can_wait
    if can_wait and answer.has_one and options.mapping is None:
        return None
    with runtime.guard("extract_signals"):
        if options.extractor is not None:
            given = options.extractor(orjson.loads(answer.data), deepcopy(info.lookup))
            return _understood(runtime, given)
        number, recognised = _places(options, answer)
        if not recognised:
            runtime.guard.count("unrecognised_shapes")
        if not number:
            return ()
        if number == 1 and can_wait:
            return None
        body = people_of(runtime.settings).in_json(answer.body)
        found = extract(body, request=info.lookup, mapping=options.mapping).signals
        return found or extract(answer.body, request=info.lookup, mapping=options.mapping).signals
    return ()


def _places(options: Options, answer: Answer) -> Places:
    if options.mapping is None:
        return answer.places()
    locator = located(answer.body, mapping=options.mapping)
    return Places(len(locator.candidates), locator.recognised)


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


def _context(call: Observation, info: RequestInfo, query_id: str) -> dict[str, Any]:
    """What the door knows about the call, for the rows of its signals."""
    options = call.options
    return {
        "query_id": query_id if options.log_query else None,
        "source": source(options, info),
        "source_engine": options.source_engine,
        "endpoint": options.endpoint or info.endpoint,
        "user_agent": info.user_agent,
        "ip_address": info.remote_addr,
        "stamp": call.stamp,
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


def _forget(runtime: Runtime, rows: Sequence[Mapping[str, Any]], seconds: float) -> None:
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
        interaction_source(options, info),
        created_us=created_us,
        data={"endpoint": row["endpoint"]},
        user_agent=info.user_agent,
        ip_address=info.remote_addr,
    )
