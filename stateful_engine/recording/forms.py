"""Calls that differ in a few places only: encoded, and read again, without looking at what they have in common.

What a caller is told at a view seldom changes from one request to the next but for ids, times and who calls a proxy
what. So a `Form` has the rest of the record in its encoded form, and whoever reads many records finds with `blanks`
what is new in one of them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from stateful_engine.recording.columns import is_successful
from stateful_engine.recording.frames import frame
from stateful_engine.recording.records import BODY_LIMIT, SEPARATOR, Row, dumps

_NULL, _TRUE, _FALSE = b"null", b"true", b"false"
_BEGIN = b'{"k":"c","u":%d,"q":"qry%b","s":[],"i":[],'
_SIGNAL = b'"f":{"signal_id":"sig%b","interaction_id":"int%b",'
_QUERY = b'"l":{"processing_time_ms":%.3f,"request_id":%b,'
_RESULT = b'"response_status":%d,"is_successful":%b,"error_message":%b'

CALLER = ("session_id", "conversation_ref", "user_ref")
"""Columns that stand first in a form, as many callers ask the same."""

_IDS = ("request_id", *CALLER)
_NAME = rb'(?:null|"([0-9a-f-]*)"),'
"""Ids of other letters may hold anything, and are looked at with the rest."""

_FILLED = re.compile(
    rb'\{"k":"c","u":([0-9]+),"q":"qry(_[0-9a-f]{12}_[0-9]+)","s":\[\],"i":\[\],'
    rb'(?:"f":\{"signal_id":"sig\2","interaction_id":"int\2",([^{}]*(?:\{[^{}]*\})?)\},)?'
    rb'"l":\{"processing_time_ms":([0-9]+\.[0-9]{3}),' + b"".join(b'"%b":' % name.encode() + _NAME for name in _IDS)
)
"""What goes with the signal ends where its object does, in which a mapping is the only other: no caller wrote any of
that, and what callers write stands behind the blanks."""


class Form:
    """Encoded calls that hold no signal or one that the writer reads.

    Several times faster than making rows and encoding them. A signal, and the interaction that tells of it, share the
    random part of the query's id: ids are unique each in their table.
    """

    __slots__ = ("_bare", "_with_signal")

    def __init__(self, query: Row, unfolded: Row) -> None:
        """`query` has the columns that are always the same, `unfolded` what always goes with the signal."""
        first = {name: query.get(name) for name in CALLER}
        row = b"%b%b,%b}" % (_QUERY, _members(first | query), _RESULT)
        self._bare = _BEGIN + row
        self._with_signal = b"%b%b%b},%b" % (_BEGIN, _SIGNAL, _members(unfolded), row)

    def filled(
        self,
        tail: str,
        created_us: int,
        *,
        status: int,
        milliseconds: float,
        request_id: str | None,
        error: str | None,
        body: bytes | None,
        has_signal: bool,
    ) -> bytes:
        """The record of one call, whose ids end in `tail`; `error` is told of one that was not successful."""
        successful, end = is_successful(status), tail.encode()
        named = _NULL if request_id is None else dumps(request_id)
        failure = _NULL if successful or error is None else dumps(error)
        blanks = (milliseconds, named, status, _TRUE if successful else _FALSE, failure)
        head = (
            self._with_signal % (created_us, end, end, end, *blanks)
            if has_signal
            else self._bare % (created_us, end, *blanks)
        )
        if body is None:
            return b"%b}" % head
        if len(body) > BODY_LIMIT:
            return b'%b,"n":%d}' % (head, len(body))
        return b"%b}%b%b" % (head, SEPARATOR, body)

    def usual(self, status: int) -> UsualForm:
        """The form of calls that succeed with this status and hold a signal."""
        # Found once only: in what callers wrote, quotes and per cent signs do not stand alone.
        result = _RESULT % (status, _TRUE, _NULL)
        return UsualForm(status, self._with_signal.replace(_RESULT, result))


class UsualForm:
    """A form with a signal in which the result stands already; it is filled in to a line of the spool."""

    __slots__ = ("_record", "status")

    def __init__(self, status: int, head: bytes) -> None:
        self.status = status
        self._record = b"%b}%b%%b" % (head, SEPARATOR)

    def line(self, tail: str, created_us: int, milliseconds: float, request_id: str | None, body: bytes) -> bytes:
        """As `Form.filled`, for a body that is short enough to be kept."""
        end, named = tail.encode(), _NULL if request_id is None else dumps(request_id)
        return frame(self._record % (created_us, end, end, end, milliseconds, named, body))


def _members(fields: Row) -> bytes:
    """The members of a JSON object, for a text with blanks."""
    return dumps(fields)[1:-1].replace(b"%", b"%%")


class Blanks(NamedTuple):
    """What is new in a filled form, `ids` by their column; calls with the same `rest` are alike in all else."""

    created_us: int
    tail: str
    milliseconds: float
    ids: dict[str, str | None]
    rest: tuple[bytes | None, bytes]


def blanks(payload: bytes) -> Blanks | None:
    """What a form was filled with to make `payload`; None for other records."""
    match = _FILLED.match(payload)
    if match is None:
        return None
    made, tail, signal, milliseconds, *named = match.groups()
    ids = {name: given if given is None else given.decode() for name, given in zip(_IDS, named, strict=True)}
    return Blanks(int(made), tail.decode(), float(milliseconds), ids, (signal, payload[match.end() :]))
