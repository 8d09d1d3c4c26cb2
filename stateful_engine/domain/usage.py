"""Tokens of one answer, from any of the shapes in which OpenAI's APIs report them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stateful_engine.domain.amounts import MAX_TOKENS


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts, None where nobody said. Cached tokens are part of the prompt, reasoning ones of the completion."""

    total: int | None = None
    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    reasoning: int | None = None

    def columns(self) -> dict[str, int | None]:
        """The counts under the names of their columns."""
        return {
            "tokens_used": self.total,
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "cached_tokens": self.cached,
            "reasoning_tokens": self.reasoning,
        }


def usage_of(given: Any, *, tokens_used: int | None = None) -> Usage:
    """The counts in a usage object or dict of the chat or the responses API; `tokens_used` is the total if it is given.

    Chat: `prompt_tokens, completion_tokens, prompt_tokens_details.cached_tokens,
    completion_tokens_details.reasoning_tokens`. Responses: `input_tokens, output_tokens, input_tokens_details,
    output_tokens_details`.
    """
    if given is None:
        return Usage(total=tokens_used)
    prompt = _count(given, "prompt_tokens", "input_tokens")
    completion = _count(given, "completion_tokens", "output_tokens")
    details = _field(given, "prompt_tokens_details", "input_tokens_details")
    produced = _field(given, "completion_tokens_details", "output_tokens_details")
    total = tokens_used if tokens_used is not None else _count(given, "total_tokens")
    if total is None and prompt is not None and completion is not None:
        total = prompt + completion
    return Usage(total, prompt, completion, _count(details, "cached_tokens"), _count(produced, "reasoning_tokens"))


def _field(source: Any, *names: str) -> Any:
    for name in names:
        value = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
        if value is not None:
            return value
    return None


def _count(source: Any, *names: str) -> int | None:
    value = None if source is None else _field(source, *names)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TOKENS:
        return None
    return value
