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
from stateful_engine.recording.stamping import Observer, observer
from stateful_engine.request_info import RequestInfo
from stateful_engine.tracking.responses import Answer, Ids, lowered, payload_of, read, with_ids
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
    with runtime.guard("start_tracking"):
        now_serving = _now_serving()
        outer = observer.get()
        if isinstance(outer, Observation) and outer.covers(runtime, now_serving):
            outer.options = outer.options.joined_by(options)
            return None
        return Observation(runtime, options, view_name, now_serving)
    return None


def _now_serving() -> Request | None:
    """The request itself, with one look through the proxy; None outside of any."""
    try:
        serving: Request = request._get_current_object()  # type: ignore[attr-defined]
    except RuntimeError:
        return None
    return serving


class Observation(Observer):
    """A call that is being observed: when it began, how it ended, and whether it has been settled."""

    def __init__(self, runtime: Runtime, options: Options, view_name: str, serving: Request | None) -> None:
        super().__init__()
        self.runtime = runtime
        self.options = options
        self.view_name = view_name
        self.request = serving
        self.running = True
        self.rv: Any = None
        self.error: BaseException | None = None
        self.ids: Ids | None = None
        self.elapsed = 0.0
        self.may_read = True
        self._token: Token[Observer | None] = observer.set(self)
        self.started = perf_counter()

    def covers(self, runtime: Runtime, serving: Request | None) -> bool:
        """Whether a call that starts now is a part of this one: still running, same app, same request."""
        return self.running and self.runtime is runtime and self.request is serving

    def returned(self, rv: Any) -> None:
        """The view gave `rv`, which is looked at later and never changed."""
        self.rv = rv
        self._ended()

    def raised(self, error: BaseException) -> None:
        """The view raised `error`, which goes on its way untouched."""
        self.error = error
        self._ended()

    def _ended(self) -> None:
        self.elapsed = perf_counter() - self.started
        self.running = False
        with self.runtime.guard("finish_tracking"):
            self._step_back()
            if self.request is None:
                self.settle(self.own_answer())
            else:
                _await_response(self, self.request)

    def _step_back(self) -> None:
        try:
            observer.reset(self._token)
        except ValueError:
            # A coroutine that ends in another context than it began in, where nobody observes.
            return

    def own_answer(self) -> Answer:
        """What the call amounts to by itself, without the response that it may have become a part of."""
        if self.error is None:
            return payload_of(self.rv, current_app._get_current_object())  # type: ignore[attr-defined]
        return Answer(_status_of(self.error))

    def settle(self, answer: Answer) -> Ids:
        """Record the call as `answer`, once; further calls return the same ids."""
        if self.ids is None:
            self.ids = Ids()
            error = None if self.error is None else type(self.error).__name__
            self.ids = settle(
                self.runtime,
                self.options,
                self._info(),
                answer=answer,
                elapsed=self.elapsed,
                error=error,
                stamp=self.stamp,
            )
            self.rv = self.error = None
        return self.ids

    def settle_as_part_of(self, answer: Answer) -> Ids:
        """Record the call as the final `answer`; where a page was made of its JSON, as what it returned itself."""
        if self.ids is None and answer.data is None and answer.successful and self.error is None:
            answer = self.own_answer()._replace(status=answer.status)
        return self.settle(answer)

    def _info(self) -> RequestInfo:
        if self.request is None:
            return RequestInfo.outside(self.view_name)
        with self.runtime.guard("read_the_request"):
            return RequestInfo.from_request(self.request, self.runtime.settings, may_read=self.may_read)
        return RequestInfo.outside(self.view_name, self.request.method)


class _Served:
    """The observations of one request, and the function that settles them on its final response."""

    __slots__ = ("answered", "observations", "request", "runtime", "settled")

    def __init__(self, runtime: Runtime, serving: Request) -> None:
        self.runtime = runtime
        self.request = serving
        self.observations: list[Observation] = []
        self.answered = False
        self.settled = False

    def respond(self, response: Response) -> Response:
        """Settle what was observed and give the ids to the client; returns `response` itself when that fails."""
        with self.runtime.guard("give_ids_to_the_client"):
            self.answered = True
            return self._answered(response)
        return response

    def _answered(self, response: Response) -> Response:
        headers = lowered(response)
        answer = read(response, headers)
        if answer.data is None and response.is_streamed:
            self._leave_the_body()
        ids = self._settle(answer)
        self.settled = True
        if ids.query_id is None and not ids.signal_ids:
            return response
        return with_ids(response, ids, headers=headers, answer=answer if self._may_inject() else None)

    def _leave_the_body(self) -> None:
        """What is streamed is made while it is sent, perhaps of a request body that is still to be read."""
        for observation in self.observations:
            observation.may_read = False

    def _settle(self, answer: Answer) -> Ids:
        """A single call is what the client got, where that can be read; of several, each is what it returned."""
        if len(self.observations) == 1:
            return self.observations[0].settle_as_part_of(answer)
        settled = [one.settle(one.own_answer()) for one in self.observations]
        query_ids = [ids.query_id for ids in settled if ids.query_id is not None]
        signal_ids = dict.fromkeys(name for ids in settled for name in ids.signal_ids)
        return Ids(",".join(query_ids) or None, tuple(signal_ids))

    def _may_inject(self) -> bool:
        """Not into answers whose bytes a client compares with earlier ones: a conditional or a range request."""
        environ = self.request.environ
        if "HTTP_IF_NONE_MATCH" in environ or "HTTP_RANGE" in environ:
            return False
        wanted = self.observations[0].options.inject
        return self.runtime.settings.inject_ids if wanted is None else wanted


def _await_response(observation: Observation, serving: Request) -> None:
    """Have the call settled by the response of its request; the first call of a request asks for that."""
    held = vars(g._get_current_object())
    served: _Served | None = held.get(_KEY)
    if served is None or served.request is not serving or served.answered:
        served = held[_KEY] = _Served(observation.runtime, serving)
        after_this_request(served.respond)
    served.observations.append(observation)


def settle_left_over(error: BaseException | None = None) -> None:
    """Settle what no response has settled; for `app.teardown_request`, harmless when called again or on a copy."""
    served: _Served | None = vars(g._get_current_object()).get(_KEY)
    if served is None or served.settled or not has_request_context():
        return
    with served.runtime.guard("settle_after_the_request"):
        if served.request is request._get_current_object():  # type: ignore[attr-defined]
            for observation in served.observations:
                if observation.error is None:
                    observation.error = error
                if observation.ids is None:
                    observation.settle(observation.own_answer())


def _status_of(error: BaseException) -> int:
    """The status a client gets for `error` where nobody handles it."""
    if not isinstance(error, HTTPException):
        return 500
    if error.response is not None:
        return int(error.response.status_code)
    return error.code or 500
