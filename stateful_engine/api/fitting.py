"""Makes answers small enough for ChatGPT and the clients of MCP: bodies of 100 000 characters and more are refused.

A page that is too long becomes a shorter page: its `next_cursor` leads on, so nothing is lost. What is too long by
itself has its long texts and lists cut. Both say `truncated: true`. Other callers get everything. An answer by MCP
holds its JSON twice, as a value and as a text, and is measured so.
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

Measure = Callable[[Reply], int]


def fitted(call: Call[Any, Any], act: Callable[[Call[Any, Any]], Reply]) -> Reply:
    """What `act` answers to the call, made to fit when ChatGPT or a client of MCP asks."""
    reply, measure = act(call), _measure(call)
    if measure is None or not reply.enveloped or _fits(reply, measure):
        return reply
    if isinstance(call.query, PageQuery):
        reply = _shorter_page(call, reply, act, measure)
    return reply if _fits(reply, measure) else _cut(reply, measure)


def _measure(call: Call[Any, Any]) -> Measure | None:
    """How the length of an answer to this call is counted; None where any length will do."""
    info = call.info
    if info.source == InteractionSource.MCP.value:
        return _length_by_mcp
    is_chatgpt = info.source == InteractionSource.CHAT_GPT.value or bool(info.gpt_id or info.conversation_ref)
    return _length if is_chatgpt else None


def _shorter_page(
    call: Call[Any, Any], reply: Reply, act: Callable[[Call[Any, Any]], Reply], measure: Measure
) -> Reply:
    """The page asked for again with fewer records, until it fits or holds one record only."""
    while not _fits(reply, measure) and (count := _fields(reply)["total_returned"]) > 1:
        limit = max(1, int(count * SAFETY * MOST / measure(reply)))
        reply = act(replace(call, query=call.query.model_copy(update={"limit": limit})))
    fields = _fields(reply)
    filters = {**fields["filters"], "limit": call.query.limit}
    return replace(reply, body={**fields, "filters": filters, "truncated": True})


def _cut(reply: Reply, measure: Measure) -> Reply:
    for budget in BUDGETS:
        reply = replace(reply, body={**_shortened(dict(_fields(reply)), budget), "truncated": True})
        if _fits(reply, measure):
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


def _fits(reply: Reply, measure: Measure) -> bool:
    return measure(reply) <= MOST - ENVELOPE


def _length(reply: Reply) -> int:
    return len(dumps(reply.body).decode())


def _length_by_mcp(reply: Reply) -> int:
    """The JSON as a value, and once more as a text in quotes."""
    text = dumps(reply.body).decode()
    return len(text) + len(dumps(text).decode())


def _fields(reply: Reply) -> Mapping[str, Any]:
    return reply.body if isinstance(reply.body, Mapping) else {}
