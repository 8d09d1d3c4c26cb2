"""One tracked call of a view, from its start to its record.

The final response is what a client gets, so a call inside a request is settled there, in one function that runs after
the request; a call that no response follows (an exception that propagates, a direct call in a test) is settled when
the request is torn down. Running inside another tracked call, a call is part of that one and records nothing itself.
"""

from __future__ import annotations

from contextvars import Token
from time import perf_counter
from typing import TYPE_CHECKING, Any

from flask import after_this_request, current_app, g, has_request_context, request
from werkzeug.exceptions import HTTPException

from stateful_engine.globals import find_runtime
from stateful_engine.recording.stamping import Observer, current, observer
from stateful_engine.request_info import RequestInfo, identity_of, request_id_of
from stateful_engine.tracking import usual
from stateful_engine.tracking.callers import Caller
from stateful_engine.tracking.responses import NO_IDS, Answer, Ids, lowered, payload_of, read, with_ids
from stateful_engine.tracking.settlement import settle

if TYPE_CHECKING:
    from flask import Request, Response

    from stateful_engine.extension import Runtime
    from stateful_engine.tracking.options import Options

_KEY = "_stateful_engine"


def begin(options: Options, view_name: str) -> Observation | None:
    """Start observing a call; None when the view is to run untouched or as part of a call that is observed already."""
    runtime = find_runtime()
    if runtime is None or not options.track or not runtime.settings.enabled:
        return None
    serving = _serving()
    outer = observer.get()
    if isinstance(outer, Observation) and outer.covers(runtime, serving):
        outer.options = outer.options.joined_by(options)
        return None
    return Observation(runtime, options, view_name, serving)


def _serving() -> Request | None:
    """The request itself, with one look through the proxy: this stands in the way of every request."""
    try:
        serving: Request = request._get_current_object()  # type: ignore[attr-defined]
    except RuntimeError:
        return None
    return serving


class Observation(Observer):
    """A call that is being observed: when it began, how it ended, and whether it has been settled.

    The first call of a request settles on its final response, and with it `others` that followed in the same request.
    """

    running = True
    rv: Any = None
    error: BaseException | None = None
    ids: Ids | None = None
    elapsed = 0.0
    may_read = True
    answered = False
    all_settled = False
    others: tuple[Observation, ...] = ()

    def __init__(self, runtime: Runtime, options: Options, view_name: str, serving: Request | None) -> None:
        self.stamp = current()
        self.runtime = runtime
        self.options = options
        self.view_name = view_name
        self.request = serving
        self._token: Token[Observer | None] = observer.set(self)
        self.started = perf_counter()

    def covers(self, runtime: Runtime, serving: Request | None) -> bool:
        """Whether a call that starts now is a part of this one: still running, same app, same request."""
        return self.running and self.runtime is runtime and self.request is serving

    def observes_here(self) -> bool:
        """Not in another request, which a view makes that asks its own app."""
        return self.running and self.request is _serving()

    def returned(self, rv: Any) -> None:
        """The view gave `rv`, which is looked at later and never changed."""
        self.elapsed = perf_counter() - self.started
        self.running = False
        self.rv = rv
        self.runtime.guard.attempt("finish_tracking", Observation._await_response, self)

    def raised(self, error: BaseException) -> None:
        """The view raised `error`, which goes on its way untouched."""
        self.error = error
        self.returned(None)

    def _await_response(self) -> None:
        """Have the call settled by the response of its request; the first call of a request asks for that."""
        try:
            observer.reset(self._token)
        except ValueError:
            # A coroutine that ends in another context than it began in: there nobody observes.
            observer.set(None)
        if self.request is None:
            self.settle(self.own_answer())
            return
        held = _held()
        first: Observation | None = held.get(_KEY)
        if first is None or first.request is not self.request or first.answered:
            held[_KEY] = self
            after_this_request(self.respond)
        else:
            first.others = (*first.others, self)

    def respond(self, response: Response) -> Response:
        """Settle what was observed and give the ids to the client; returns `response` itself when that fails."""
        self.answered = True
        answered = self.runtime.guard.attempt("give_ids_to_the_client", self._answered, response)
        return response if answered is None else answered

    def _answered(self, response: Response) -> Response:
        answered = usual.answered(self, response)
        if answered is None:
            answered = self._looked_at(response)
        self.all_settled = True
        self.rv = None
        return answered

    def _looked_at(self, response: Response) -> Response:
        headers = lowered(response)
        answer = read(response, headers)
        said = answer if answer.data is not None else self._said_without_body(answer, response)
        ids = self._settle_all() if self.others else self.settle(said)
        if ids.query_id is None and not ids.signal_ids:
            return response
        return with_ids(response, ids, headers, answer if self.may_inject() else None)

    def _said_without_body(self, answer: Answer, response: Response) -> Answer:
        """What a single call amounts to whose `answer` has no JSON: what it returned, where a page was made of that."""
        # What is streamed is made while it is sent, perhaps of a request body that is still to be read.
        if response.is_streamed:
            for observation in (self, *self.others):
                observation.may_read = False
        if self.others or not answer.successful or self.error is not None or self.ids is not None:
            return answer
        return self.own_answer().with_status(answer.status)

    def _settle_all(self) -> Ids:
        """Of several calls each is what it returned itself; the client is told the ids of all."""
        settled = [one.settle(one.own_answer()) for one in (self, *self.others)]
        query_ids = [ids.query_id for ids in settled if ids.query_id is not None]
        signal_ids = dict.fromkeys(name for ids in settled for name in ids.signal_ids)
        return Ids(",".join(query_ids) or None, tuple(signal_ids))

    def may_inject(self) -> bool:
        """Not into answers whose bytes a client compares with earlier ones: a conditional or a range request."""
        wanted = self.options.inject
        if not (self.runtime.settings.inject_ids if wanted is None else wanted) or self.request is None:
            return False
        environ = self.request.environ
        return "HTTP_IF_NONE_MATCH" not in environ and "HTTP_RANGE" not in environ

    def settle_left_over(self, error: BaseException | None) -> None:
        """Settle what no response has settled, when the request ends with `error`."""
        for observation in (self, *self.others):
            if observation.error is None:
                observation.error = error
            if observation.ids is None:
                observation.settle(observation.own_answer())

    def own_answer(self) -> Answer:
        """What the call amounts to by itself, without the response that it may have become a part of."""
        if self.error is None:
            return payload_of(self.rv, current_app._get_current_object())  # type: ignore[attr-defined]
        return Answer(_status_of(self.error))

    def settle(self, answer: Answer) -> Ids:
        """Record the call as `answer`, once; further calls return the same ids."""
        if self.ids is None:
            self.ids = NO_IDS
            self.ids = settle(self, self._caller(), answer)
            self.rv = self.error = None
        return self.ids

    @property
    def error_name(self) -> str | None:
        """The class of the exception that ended the call, never its text."""
        return None if self.error is None else type(self.error).__name__

    @property
    def request_id(self) -> str | None:
        """What the caller, or a proxy, calls the request."""
        return None if self.request is None else request_id_of(self.request)

    def _caller(self) -> Caller:
        if self.request is None:
            return Caller(RequestInfo.outside(self.view_name))
        callers, identity = self.runtime.callers, identity_of(self.request)
        known = callers.known.get(identity)
        if known is not None:
            return known
        with self.runtime.guard("read_the_request"):
            return callers.met(self.request, identity, may_read=self.may_read)
        return Caller(RequestInfo.outside(self.view_name, self.request.method))


def settle_left_over(error: BaseException | None = None) -> None:
    """Settle what no response has settled; for `app.teardown_request`, harmless when called again or on a copy."""
    first: Observation | None = _held().get(_KEY)
    if first is None or first.all_settled or not has_request_context():
        return
    with first.runtime.guard("settle_after_the_request"):
        if first.request is request._get_current_object():  # type: ignore[attr-defined]
            first.settle_left_over(error)


def _held() -> dict[str, Any]:
    """What this context keeps by name. Where a host has a `g` that keeps nothing so, each call settles by itself."""
    held: dict[str, Any] = getattr(g._get_current_object(), "__dict__", {})
    return held


def _status_of(error: BaseException) -> int:
    """The status a client gets for `error` where nobody handles it."""
    if not isinstance(error, HTTPException):
        return 500
    if error.response is not None:
        return int(error.response.status_code)
    return error.code or 500
