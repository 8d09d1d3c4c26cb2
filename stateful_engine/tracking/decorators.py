"""The decorators that give a view a memory.

They look at what the view answers and never change how it answers: value, status, headers, exceptions, colour (sync or
async), name and type stay as they are.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, cast, overload

from stateful_engine.errors import ConfigurationError
from stateful_engine.tracking.observation import begin
from stateful_engine.tracking.options import DEFAULT_SOURCE, Extractor, Options

P = ParamSpec("P")
R = TypeVar("R")

TRACKED = "__stateful_tracked__"
"""Set on every tracked view; `functools.wraps` of decorators above carries it on, so that nobody wraps twice."""


@overload
def track_signal_generation(endpoint_name: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def track_signal_generation(
    endpoint_name: str | None = None,
    *,
    source: str = DEFAULT_SOURCE,
    source_engine: str | None = None,
    extractor: Extractor | None = None,
    mapping: Mapping[str, str] | None = None,
    dedupe_seconds: float = 0,
    inject: bool | None = None,
    log_query: bool = True,
    track: bool = True,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def track_signal_generation(
    endpoint_name: str | Callable[..., Any] | None = None,
    *,
    source: str = DEFAULT_SOURCE,
    source_engine: str | None = None,
    extractor: Extractor | None = None,
    mapping: Mapping[str, str] | None = None,
    dedupe_seconds: float = 0,
    inject: bool | None = None,
    log_query: bool = True,
    track: bool = True,
) -> Any:
    """Record every signal that a view answers with, and the query behind it.

    The route stands above it, else Flask registers the view without it:

    >>> @app.get("/api/gpts/signal")
    ... @track_signal_generation(endpoint_name="/api/gpts/signal")
    ... def get_trading_signal():
    ...     return jsonify(generate_signal())

    Works bare (`@track_signal_generation`), on async views, on methods, and in `decorators` of a class-based view.
    `endpoint_name` defaults to the URL rule; `source` to what the user agent tells (CHAT_GPT, TELEGRAM, …, else API).
    Bodies that are not recognised by themselves need `mapping` (our field name to a dotted path in the body) or
    `extractor` (a callable that gets the parsed body and the parameters, and gives signals or dicts of fields).
    `dedupe_seconds` gives a repeated signal its earlier id instead of a new row; `inject` overrides
    `STATEFUL_INJECT_IDS` for this view; `log_query=False` records signals only; `track=False` leaves the view alone,
    which is right for views that list stored signals.
    """
    if callable(endpoint_name):
        return _tracked(endpoint_name, Options())
    options = Options(
        endpoint=endpoint_name,
        source=source,
        source_engine=source_engine,
        extractor=extractor,
        mapping=mapping,
        dedupe_seconds=dedupe_seconds,
        inject=inject,
        log_query=log_query,
        track=track,
    )
    return functools.partial(_tracked, options=options)


@overload
def track_gpt_query(endpoint: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def track_gpt_query(
    endpoint: str | None = None, method: str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def track_gpt_query(endpoint: str | Callable[..., Any] | None = None, method: str | None = None) -> Any:
    """Record the queries that a view answers, without looking for signals in its answers.

    >>> @app.get("/api/gpts/market")
    ... @track_gpt_query("/api/gpts/market")
    ... def market(): ...

    `endpoint` and `method` default to what the request says.
    """
    if callable(endpoint):
        return _tracked(endpoint, Options(signals=False))
    return functools.partial(_tracked, options=Options(endpoint=endpoint, method=method, signals=False))


def is_tracked(view: Callable[..., Any]) -> bool:
    """Whether `view` is tracked already, also beneath decorators that use `functools.wraps`."""
    return bool(getattr(view, TRACKED, False))


def _tracked(view: Callable[P, R], options: Options) -> Callable[P, R]:
    if isinstance(view, type) or not callable(view):
        raise ConfigurationError(
            f"{view!r} is not a view function; for a class-based view write "
            "`decorators = [track_signal_generation(...)]` in the class"
        )
    tracked = _async_wrapper(view, options) if _is_async(view) else _sync_wrapper(view, options)
    setattr(tracked, TRACKED, True)
    return cast("Callable[P, R]", tracked)


def _is_async(view: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(view) or inspect.iscoroutinefunction(getattr(view, "__call__", None))  # noqa: B004


def _sync_wrapper(view: Callable[..., Any], options: Options) -> Callable[..., Any]:
    name = _name_of(view)

    @functools.wraps(view)
    def tracked(*args: Any, **kwargs: Any) -> Any:
        observation = begin(options, name)
        if observation is None:
            return view(*args, **kwargs)
        try:
            rv = view(*args, **kwargs)
        except BaseException as error:
            observation.raised(error)
            raise
        observation.returned(rv)
        return rv

    return tracked


def _async_wrapper(view: Callable[..., Any], options: Options) -> Callable[..., Any]:
    name = _name_of(view)

    @functools.wraps(view)
    async def tracked(*args: Any, **kwargs: Any) -> Any:
        observation = begin(options, name)
        if observation is None:
            return await view(*args, **kwargs)
        try:
            rv = await view(*args, **kwargs)
        except BaseException as error:
            observation.raised(error)
            raise
        observation.returned(rv)
        return rv

    return tracked


def _name_of(view: Callable[..., Any]) -> str:
    """What a call outside a request is filed under."""
    return f"{getattr(view, '__module__', '')}.{getattr(view, '__qualname__', type(view).__name__)}"
