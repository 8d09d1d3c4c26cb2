"""Makes answers small enough for ChatGPT, which refuses bodies of 100 000 characters and more.

A page that is too long becomes a shorter page: its `next_cursor` leads on, so nothing is lost. What is too long by
itself has its long texts and lists cut. Both say `truncated: true`. Other callers get everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from stateful_engine.api.contract import Call, Reply
from stateful_engine.api.envelope import dumps
from stateful_engine.api.schemas import PageQuery
from stateful_engine.domain.vocabulary import InteractionSource

MOST = 90_000
ENVELOPE = 500
"""Characters left for what the envelope adds."""

SAFETY = 0.8
BUDGETS = (4_000, 1_000, 200, 40)
"""How long a text may be, tried one after the other; a list may have a twentieth of it as items."""


def fitted(call: Call[Any, Any], act: Callable[[Call[Any, Any]], Reply]) -> Reply:
    """What `act` answers to the call, made to fit when ChatGPT asks."""
    reply = act(call)
    if not _is_chatgpt(call) or not reply.enveloped or _fits(reply):
        return reply
    if isinstance(call.query, PageQuery):
        reply = _shorter_page(call, reply, act)
    return reply if _fits(reply) else _cut(reply)


def _is_chatgpt(call: Call[Any, Any]) -> bool:
    info = call.info
    return info.source == InteractionSource.CHAT_GPT.value or bool(info.gpt_id or info.conversation_ref)


def _shorter_page(call: Call[Any, Any], reply: Reply, act: Callable[[Call[Any, Any]], Reply]) -> Reply:
    """The page asked for again with fewer records, until it fits or holds one record only."""
    while not _fits(reply) and (count := _fields(reply)["total_returned"]) > 1:
        limit = max(1, int(count * SAFETY * MOST / _length(reply)))
        reply = act(replace(call, query=call.query.model_copy(update={"limit": limit})))
    fields = _fields(reply)
    filters = {**fields["filters"], "limit": call.query.limit}
    return replace(reply, body={**fields, "filters": filters, "truncated": True})


def _cut(reply: Reply) -> Reply:
    for budget in BUDGETS:
        reply = replace(reply, body={**_shortened(dict(_fields(reply)), budget), "truncated": True})
        if _fits(reply):
            break
    return reply


def _shortened(value: Any, budget: int) -> Any:
    """The value with texts cut at `budget` characters and lists at a twentieth of it."""
    if isinstance(value, str):
        return value if len(value) <= budget else value[: budget - 1] + "…"
    if isinstance(value, dict):
        return {key: _shortened(item, budget) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item, budget) for item in value[: max(1, budget // 20)]]
    return value


def _fits(reply: Reply) -> bool:
    return _length(reply) <= MOST - ENVELOPE


def _length(reply: Reply) -> int:
    return len(dumps(reply.body).decode())


def _fields(reply: Reply) -> Mapping[str, Any]:
    return reply.body if isinstance(reply.body, Mapping) else {}
