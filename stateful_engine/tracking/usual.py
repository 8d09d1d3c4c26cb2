"""The usual call: somebody who is known asks a view for what others have been told already.

Until a candle closes, most calls of most hosts are of this kind, so this is what recording costs them. All that the
general way (`settlement.settle`, `responses.with_ids`) would work out is known then, and the same is done in few steps:
each function on the way of a request costs as much as ten of its lines. Tests compare both ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response
from werkzeug.datastructures import Headers

from stateful_engine.domain import clock, identifiers
from stateful_engine.errors import SpoolFullError
from stateful_engine.request_info import identity_of, request_id_of
from stateful_engine.tracking.responses import NO_IDS, QUERY_HEADER, SIGNAL_HEADER, Answer, Ids, recent
from stateful_engine.tracking.settlement import dropped

if TYPE_CHECKING:
    from stateful_engine.tracking.observation import Observation


def answered(call: Observation, response: Response) -> Response | None:
    """`response` with the ids of what is recorded of `call`; None where that is not usual, and nothing was done."""
    serving, answer = call.request, _known(response)
    if answer is None or serving is None or call.others or call.error or call.stamp or call.ids:
        return None
    caller = call.runtime.callers.known.get(identity_of(serving))
    form = None if caller is None else caller.usual.get(call.options)
    if form is None or answer.data is None or form.status != answer.status:
        return None
    call.ids = NO_IDS
    now = clock.epoch_us()
    tail = identifiers.tail(now)
    try:
        call.runtime.recorder.take(form.line(tail, now, call.elapsed * 1000, request_id_of(serving), answer.data))
    except SpoolFullError as error:
        dropped(call.runtime, error)
        return response
    query_id, signal_id = f"qry{tail}", f"sig{tail}"
    call.ids = Ids(query_id, (signal_id,))
    return _with_ids(response, query_id, signal_id, answer.gap() if call.may_inject() else None)


def _known(response: Response) -> Answer | None:
    """What the response says, where it is plain JSON with one signal that others have been told lately."""
    if type(response) is not Response or type(response.headers) is not Headers or response.direct_passthrough:
        return None
    chunks, kind = response.response, None
    if type(chunks) is not list or len(chunks) != 1 or type(chunks[0]) is not bytes:
        return None
    for name, value in response.headers._list:
        if name == "Content-Type":
            kind = value
        elif name != "Content-Length":
            return None
    answer = recent.get(chunks[0]) if kind == "application/json" else None
    return answer if answer is not None and answer.is_usual and answer.status == response.status_code else None


def _with_ids(response: Response, query_id: str, signal_id: str, gap: tuple[bytes, bytes] | None) -> Response:
    """A copy of the response with the ids in its headers, and in the gap of its body, as `with_ids` has it."""
    copied, pairs = object.__new__(Response), response.headers._list
    fields = copied.__dict__
    fields.update(response.__dict__)
    if gap is not None:
        data = b'%b"signal_id":"%b"%b' % (gap[0], signal_id.encode(), gap[1])
        fields["response"] = [data]
        pairs = [(name, str(len(data))) if name == "Content-Length" else (name, value) for name, value in pairs]
    fields["headers"] = headers = object.__new__(Headers)
    headers._list = [*pairs, (QUERY_HEADER, query_id), (SIGNAL_HEADER, signal_id)]
    return copied
