"""How one view is tracked: what `track_signal_generation` and `track_gpt_query` were given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stateful_engine.domain.extraction import ExtractedSignal
from stateful_engine.domain.vocabulary import InteractionSource
from stateful_engine.errors import ConfigurationError

DEFAULT_SOURCE = InteractionSource.API.value

Found = ExtractedSignal | Mapping[str, Any]
Extractor = Callable[[Any, Mapping[str, Any]], Found | Iterable[Found] | None]
"""A host's own reader: gets the parsed JSON body and the request's parameters, gives signals or dicts of fields."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to record of a view and under which names; `signals=False` records the query alone."""

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

    def __post_init__(self) -> None:
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
        log_query = self.log_query or inner.log_query
        if self.signals or not inner.signals:
            return self if log_query == self.log_query else replace(self, log_query=log_query)
        return replace(inner, endpoint=self.endpoint or inner.endpoint, method=self.method, log_query=log_query)
