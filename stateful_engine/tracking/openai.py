"""Door for the OpenAI SDK: what a client answers is remembered, with its tokens, cost and latency.

A client is wrapped as an object; no class of the SDK is touched. What the host gets back is what the SDK gave. Inside
`engine.conversation(...)` answers become messages of that conversation, elsewhere rows of the query log.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from stateful_engine.domain import clock
from stateful_engine.domain.pricing import cost_of
from stateful_engine.domain.usage import usage_of
from stateful_engine.errors import InvalidInputError
from stateful_engine.globals import find_runtime
from stateful_engine.services.conversations import ChatGPTLogger

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

ClientT = TypeVar("ClientT")

WRAPPED = "__stateful_tracked__"
CHAT, RESPONSES = "openai:chat.completions", "openai:responses"
RESOURCES = {CHAT: ("chat", "completions"), RESPONSES: ("responses",)}
CALLS = "create", "parse"

_conversation: ContextVar[int | None] = ContextVar("stateful_engine_conversation", default=None)


@contextmanager
def conversation(runtime: Runtime, user_id: Any, chat_id: Any = None) -> Iterator[int]:
    """The open conversation of a person in a chat, or a new one; answers inside the block become its messages."""
    conversation_id = ChatGPTLogger(runtime.database).open_conversation(user_id, chat_id)
    token = _conversation.set(conversation_id)
    try:
        yield conversation_id
    finally:
        _conversation.reset(token)


def track_openai(client: ClientT, runtime: Runtime | None = None) -> ClientT:
    """Remember what this client answers; returns the client itself. Wrapping it again changes nothing.

    Works for sync and async clients, streams (whose usage is known only with `include_usage`, which stays the host's
    decision), `with_raw_response` and `with_options`. Raises `InvalidInputError` for what is no client.
    """
    if getattr(client, WRAPPED, False):
        return client
    resources = {endpoint: _resource(client, path) for endpoint, path in RESOURCES.items()}
    if not any(resources.values()):
        raise InvalidInputError(
            f"a {type(client).__name__} is no OpenAI client; give one of openai.OpenAI or AsyncOpenAI"
        )
    for endpoint, resource in resources.items():
        for name in CALLS:
            if hasattr(resource, name):
                setattr(resource, name, _tracked(getattr(resource, name), endpoint, runtime))
    for name in ("with_options", "copy"):
        if hasattr(client, name):
            setattr(client, name, _copying(getattr(client, name), runtime))
    setattr(client, WRAPPED, True)
    return client


def _resource(client: Any, path: tuple[str, ...]) -> Any:
    """A part of the client, None where this version of the SDK has none."""
    for name in path:
        client = getattr(client, name, None)
    return client


def record_openai(response: Any, runtime: Runtime, *, conversation_id: int | None = None) -> None:
    """Remember an answer that the host got by itself; raises what direct calls raise."""
    _store(runtime, _answer_of(response, endpoint=CHAT), conversation_id or _conversation.get())


@dataclass(frozen=True, slots=True)
class _Answer:
    """What there is to remember of one call."""

    endpoint: str
    model: str | None
    text: str | None
    usage: Any
    latency_ms: float | None = None
    question: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _CallOf:
    """One call of `create` while it runs."""

    runtime: Runtime | None
    endpoint: str
    request: Mapping[str, Any]
    conversation_id: int | None
    started: float

    def ended(self, response: Any) -> None:
        """Remember what came back, if there is an engine to remember it."""
        runtime = self._engine()
        if runtime is not None:
            with runtime.guard("remember_an_openai_answer"):
                _store(runtime, self._answered(response), self.conversation_id)

    def failed(self, error: Exception) -> None:
        """Remember that nothing came back, without what the error says."""
        runtime = self._engine()
        if runtime is not None:
            with runtime.guard("remember_an_openai_answer"):
                failed = _Answer(
                    self.endpoint,
                    self.request.get("model"),
                    None,
                    None,
                    self._latency(),
                    _question_of(self.request),
                    type(error).__name__,
                )
                _log_query(runtime, failed)

    def _engine(self) -> Runtime | None:
        runtime = self.runtime or find_runtime()
        return runtime if runtime is not None and runtime.settings.enabled else None

    def _answered(self, response: Any) -> _Answer:
        seen = _answer_of(response, endpoint=self.endpoint)
        return _Answer(
            self.endpoint,
            seen.model or self.request.get("model"),
            seen.text,
            seen.usage,
            self._latency(),
            _question_of(self.request),
        )

    def _latency(self) -> float:
        return round((perf_counter() - self.started) * 1000, 3)


def _tracked(create: Callable[..., Any], endpoint: str, runtime: Runtime | None) -> Callable[..., Any]:
    def begin(request: Mapping[str, Any]) -> _CallOf:
        return _CallOf(runtime, endpoint, request, _conversation.get(), perf_counter())

    if inspect.iscoroutinefunction(inspect.unwrap(create)):

        @functools.wraps(create)
        async def asynchronous(*args: Any, **request: Any) -> Any:
            call = begin(request)
            try:
                response = await create(*args, **request)
            except Exception as error:
                await asyncio.to_thread(call.failed, error)
                raise
            if not _watched(response, call):
                await asyncio.to_thread(call.ended, response)
            return response

        return asynchronous

    @functools.wraps(create)
    def synchronous(*args: Any, **request: Any) -> Any:
        call = begin(request)
        try:
            response = create(*args, **request)
        except Exception as error:
            call.failed(error)
            raise
        if not _watched(response, call):
            call.ended(response)
        return response

    return synchronous


def _copying(copy: Callable[..., Any], runtime: Runtime | None) -> Callable[..., Any]:
    @functools.wraps(copy)
    def tracked_copy(*args: Any, **options: Any) -> Any:
        return track_openai(copy(*args, **options), runtime)

    return tracked_copy


def _watched(response: Any, call: _CallOf) -> bool:
    """Whether the response is a stream, which is remembered when it has been read; it stays the object it is."""
    source = getattr(response, "_iterator", None)
    if source is None:
        return False
    if hasattr(source, "__anext__"):
        response._iterator = _watching_async(source, call)
    else:
        response._iterator = _watching(source, call)
    return True


def _watching(source: Iterator[Any], call: _CallOf) -> Iterator[Any]:
    seen = _Streamed()
    try:
        for chunk in source:
            seen.add(chunk)
            yield chunk
    finally:
        call.ended(seen)


async def _watching_async(source: AsyncIterator[Any], call: _CallOf) -> AsyncIterator[Any]:
    seen = _Streamed()
    try:
        async for chunk in source:
            seen.add(chunk)
            yield chunk
    finally:
        await asyncio.to_thread(call.ended, seen)


class _Streamed:
    """What the chunks of a stream add up to."""

    def __init__(self) -> None:
        self.model: str | None = None
        self.usage: Any = None
        self.parts: list[str] = []

    @property
    def output_text(self) -> str:
        """The text so far."""
        return "".join(self.parts)

    def add(self, chunk: Any) -> None:
        """Take one chunk of either API; a shape that is not known adds nothing."""
        whole = getattr(chunk, "response", None)
        self.model = getattr(chunk, "model", None) or getattr(whole, "model", None) or self.model
        self.usage = getattr(chunk, "usage", None) or getattr(whole, "usage", None) or self.usage
        for choice in getattr(chunk, "choices", None) or ():
            text = getattr(getattr(choice, "delta", None), "content", None)
            if isinstance(text, str):
                self.parts.append(text)
        if getattr(chunk, "type", "") == "response.output_text.delta" and isinstance(chunk.delta, str):
            self.parts.append(chunk.delta)


def _answer_of(response: Any, *, endpoint: str) -> _Answer:
    """Model, text and usage of a response of either API, raw or parsed, an object or a dict."""
    if hasattr(response, "parse") and not hasattr(response, "model"):
        response = response.parse()
    model, usage = _get(response, "model"), _get(response, "usage")
    text = _get(response, "output_text")
    choices = _get(response, "choices")
    if text is None and choices:
        text = _get(_get(choices[0], "message"), "content")
    return _Answer(endpoint, model, text if isinstance(text, str) else None, usage)


def _get(source: Any, name: str) -> Any:
    return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)


def _question_of(request: Mapping[str, Any]) -> str | None:
    """What the person said last: the last user message, or the input text of the responses API."""
    given = request.get("messages") or request.get("input")
    if isinstance(given, str):
        return given
    for message in reversed(given if isinstance(given, (list, tuple)) else ()):
        if _get(message, "role") == "user" and isinstance(_get(message, "content"), str):
            return str(_get(message, "content"))
    return None


def _store(runtime: Runtime, answer: _Answer, conversation_id: int | None) -> None:
    if conversation_id is None:
        _log_query(runtime, answer)
        return
    logger = ChatGPTLogger(runtime.database, prices=runtime.settings.prices)
    if answer.question is not None:
        logger.log_message(conversation_id, "user", answer.question, model=answer.model)
    logger.log_message(
        conversation_id,
        "assistant",
        answer.text,
        model=answer.model,
        usage=answer.usage,
        latency_ms=answer.latency_ms,
    )


def _log_query(runtime: Runtime, answer: _Answer) -> None:
    counted = usage_of(answer.usage)
    cost = cost_of(answer.model, counted, at=clock.now(), host_prices=runtime.settings.prices).usd
    runtime.state_manager.log_gpt_query(
        {"endpoint": answer.endpoint, "method": "POST", "user_query": answer.question},
        {
            "status_code": None,
            "is_successful": answer.error is None,
            "error_message": answer.error,
            "processing_time_ms": answer.latency_ms,
            "ai_model": answer.model,
            "tokens_used": counted.total,
            "prompt_tokens": counted.prompt,
            "completion_tokens": counted.completion,
            "cost_usd": None if cost is None else float(cost),
        },
    )
