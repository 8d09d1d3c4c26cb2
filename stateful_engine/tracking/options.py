"""How one view is tracked: what `track_signal_generation` and `track_gpt_query` were given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from stateful_engine.domain.extraction import ExtractedSignal
from stateful_engine.domain.vocabulary import InteractionSource
from stateful_engine.errors import ConfigurationError

DEFAULT_SOURCE = InteractionSource.API.value

Found = ExtractedSignal | Mapping[str, Any]
Extractor = Callable[[Any, Mapping[str, Any]], Found | Iterable[Found] | None]
"""A host's own reader: gets the parsed JSON body and the request's parameters, gives signals or dicts of fields."""


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """What to record of a view and under which names; `signals=False` records the query alone.

    Options are told apart by which object they are: a view has one for life.
    """

    endpoint: str | None = None
    method: str | None = None
    source: str = DEFAULT_SOURCE
    source_engine: str | None = None
    extractor: Extractor | None = None
    mapping: Mapping[str, str] | None = None
    dedupe_seconds: float = 0
    inject: bool | None = None
    log_query: bool = True
    signals: bool = True
    track: bool = True
    can_wait: bool = field(init=False)
    """Whether nobody asks what a signal says before the writer has it."""

    def __post_init__(self) -> None:
        can_wait = self.extractor is None and self.log_query and not self.dedupe_seconds
        object.__setattr__(self, "can_wait", can_wait)
        if self.endpoint is not None and not isinstance(self.endpoint, str):
            raise ConfigurationError("the endpoint name must be text; pass for example '/api/gpts/signal'")
        if self.extractor is not None and self.mapping is not None:
            raise ConfigurationError("extractor= and mapping= exclude each other; give one of them")
        if self.extractor is not None and not callable(self.extractor):
            raise ConfigurationError("extractor= must be callable; give a function of the body and the parameters")
        if self.dedupe_seconds < 0:
            raise ConfigurationError("dedupe_seconds= must not be negative; use 0 to record every call")

    def joined_by(self, inner: Options) -> Options:
        """The options when a call with `inner` runs inside this one: one record, with all that either asked for.

        `@track_gpt_query` above `@track_signal_generation` therefore records the query and the signals, once.
        """
        return _joined(self, inner)


@lru_cache(maxsize=1024)
def _joined(outer: Options, inner: Options) -> Options:
    """The same two give the same one, by which what was worked out for it is found again."""
    log_query = outer.log_query or inner.log_query
    if outer.signals or not inner.signals:
        return outer if log_query == outer.log_query else replace(outer, log_query=log_query)
    return replace(inner, endpoint=outer.endpoint or inner.endpoint, method=outer.method, log_query=log_query)
