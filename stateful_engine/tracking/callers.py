"""Callers that are known: the same people put the same questions, and little of a record is new each time.

What all records of a caller at a view have in common is encoded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stateful_engine.domain.recent import Recent
from stateful_engine.recording.forms import Form, UsualForm
from stateful_engine.request_info import RequestInfo
from stateful_engine.services import inputs
from stateful_engine.tracking.options import DEFAULT_SOURCE

if TYPE_CHECKING:
    from flask import Request

    from stateful_engine.config import Settings
    from stateful_engine.tracking.options import Options

KNOWN = 1000
MAX_IDENTITY = 1024
"""Characters that identify a caller; who says more is looked at anew each time."""

VIEWS = 8
"""Views for which a caller keeps a form."""


class Caller:
    """What a request says, apart from the id that it was given, and the forms of the records that it leads to.

    `usual` has those of views that have told this caller one signal, which the writer may read.
    """

    __slots__ = ("_forms", "info", "usual")

    def __init__(self, info: RequestInfo) -> None:
        self.info = info
        self._forms: Recent[Options, Form] = Recent(VIEWS)
        self.usual: Recent[Options, UsualForm] = Recent(VIEWS)

    def form(self, options: Options) -> Form:
        """What all records of this caller at a view with these options have in common."""
        known = self._forms.get(options)
        if known is None:
            known = Form(query_columns(options, self.info), unfolded_columns(options, self.info))
            self._forms.keep(options, known)
        return known

    def was_told_one(self, options: Options, status: int) -> None:
        """Have the form of further such calls in `usual`; it is made once, as many are told something new each time."""
        known = self.usual.get(options)
        if known is None or known.status != status:
            self.usual.keep(options, self.form(options).usual(status))


Identity = tuple[str | None, ...] | None
"""What `identity_of` says about a request."""


class Callers:
    """The callers of one app that were seen lately: `known` by what `identity_of` says about their requests."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.known: Recent[Identity, Caller] = Recent(KNOWN)

    def met(self, request: Request, identity: Identity, *, may_read: bool) -> Caller:
        """Who makes `request` and was not known; known from now on, unless what it says holds a secret."""
        caller = Caller(RequestInfo.from_request(request, self._settings, may_read=may_read))
        if identity is not None and caller.info.params == caller.info.lookup and _length(identity) <= MAX_IDENTITY:
            self.known.keep(identity, caller)
        return caller


def _length(identity: tuple[str | None, ...]) -> int:
    return sum(len(part) for part in identity if part is not None)


def query_columns(options: Options, info: RequestInfo) -> dict[str, Any]:
    """The columns of the query log that a caller and a view determine."""
    return {
        "endpoint": options.endpoint or info.endpoint,
        "method": options.method or info.method,
        "request_params": info.params,
        "user_query": info.user_query,
        "user_agent": info.user_agent,
        "ip_address": info.remote_addr,
        "session_id": info.session_id,
        "referer": info.referer,
        "conversation_ref": info.conversation_ref,
        "user_ref": info.user_ref,
        "gpt_id": info.gpt_id,
    }


def unfolded_columns(options: Options, info: RequestInfo) -> dict[str, Any]:
    """What goes with the one signal of an answer that the writer reads, apart from its ids: where it came from."""
    return {
        "interaction_source": interaction_source(options, info),
        "source": source(options, info),
        "source_engine": options.source_engine,
        "mapping": None if options.mapping is None else dict(options.mapping),
    }


def source(options: Options, info: RequestInfo) -> str:
    """Where signals of this call are said to come from."""
    return info.source if options.source == DEFAULT_SOURCE else options.source


def interaction_source(options: Options, info: RequestInfo) -> str:
    """The door through which signals of this call went."""
    return info.source if options.source == DEFAULT_SOURCE else inputs.interaction_source(options.source)
