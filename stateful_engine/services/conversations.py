"""`ChatGPTLogger`: what was said between people and a model, with tokens and cost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.domain.pricing import Price, cost_of, prices_of, unpriced
from stateful_engine.domain.usage import Usage, usage_of
from stateful_engine.domain.vocabulary import MessageRole
from stateful_engine.errors import ConfigurationError, Fault, InvalidInputError, NotFoundError
from stateful_engine.recording import stamping
from stateful_engine.services import inputs
from stateful_engine.services.binding import Bound
from stateful_engine.storage import conversations
from stateful_engine.storage.conversations import Conversation, Message
from stateful_engine.storage.pages import Page

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime, StatefulEngine
    from stateful_engine.storage.database import Database

DEFAULT_MODEL = "gpt-4o-mini"
MAX_CONTENT = 2**20
ROLE_SPELLINGS = {"function": "tool", "ai": "assistant", "bot": "assistant", "model": "assistant", "human": "user"}


class ChatGPTLogger(Bound):
    """Keeps conversations and their messages.

    >>> logger = ChatGPTLogger()
    >>> conversation_id = logger.start_conversation(user_id, chat_id)
    >>> logger.log_message(conversation_id, "user", text)
    """

    def __init__(
        self,
        source: StatefulEngine | Runtime | Database | str | os.PathLike[str] | None = None,
        *,
        db_path: str | os.PathLike[str] | None = None,
        database_url: str | None = None,
        prices: Mapping[str, Any] | None = None,
    ) -> None:
        """As the other services; `prices` are the host's own, as in `STATEFUL_PRICES`, which hold inside an app."""
        super().__init__(source, db_path=db_path, database_url=database_url)
        self._given_prices = None if prices is None else _checked(prices)

    @property
    def _prices(self) -> Mapping[str, Price]:
        if self._given_prices is None:
            return self._runtime.settings.prices if self._own is None else {}
        return self._given_prices

    def start_conversation(
        self, user_id: Any, chat_id: Any = None, *, model: str | None = None, channel: str | None = None
    ) -> int:
        """Begin a conversation; returns its id."""
        values = self._begun(user_id, chat_id, model=model, channel=channel)
        with self._database.transaction() as session:
            return conversations.start(session, values)

    def _begun(
        self, user_id: Any, chat_id: Any, *, model: str | None = None, channel: str | None = None
    ) -> dict[str, Any]:
        return {
            "user_id": self._person(user_id),
            "chat_id": self._anybody(chat_id),
            "started_at": clock.now(),
            "model": inputs.text(model),
            "channel": inputs.text(channel),
        }

    def open_conversation(self, user_id: Any, chat_id: Any = None, **details: Any) -> int:
        """The conversation of a person in a chat that has not ended, also from before a restart, or a new one."""
        values = self._begun(user_id, chat_id, **details)
        with self._database.transaction() as session:
            conversations.hold(session, values["user_id"], values["chat_id"])
            known = conversations.find_open(session, values["user_id"], values["chat_id"])
            return conversations.start(session, values) if known is None else known.id

    def find_open_conversation(self, user_id: Any, chat_id: Any = None, *, channel: str | None = None) -> int | None:
        """As `open_conversation`, but None where there is none."""
        person, chat = self._person(user_id), self._anybody(chat_id)
        with self._database.reading() as session:
            known = conversations.find_open(session, person, chat, channel=inputs.text(channel))
            return None if known is None else known.id

    def log_message(
        self,
        conversation_id: int,
        role: str,
        content: str | None,
        tokens_used: int | None = None,
        *,
        model: str | None = None,
        usage: Any = None,
        latency_ms: float | None = None,
        cost_usd: Decimal | float | None = None,
    ) -> int:
        """Add a message; returns its id. Raises `NotFoundError` when there is no such conversation.

        `usage` is what OpenAI's chat or responses API gives, as an object or a dict; cached and reasoning tokens are
        parts of its totals. The cost follows from model and usage where the price is known, else it stays None and
        `cost_status` in the history says why (`unknown_model`, `unknown_tokens`).
        """
        counted = usage_of(usage, tokens_used=_tokens(tokens_used))
        values = {
            "conversation_id": inputs.whole(conversation_id, "conversation_id"),
            "role": role_of(role),
            "content": None if content is None else inputs.text(content, most=MAX_CONTENT),
            "timestamp": clock.now(),
            "model": inputs.text(model) or DEFAULT_MODEL,
            "latency_ms": inputs.optional_finite(latency_ms, "latency_ms"),
            "cost_usd": _cost(cost_usd, model, counted, self._prices),
            **counted.columns(),
            **stamping.columns(stamping.current()),
        }
        with self._database.transaction() as session:
            message_id = conversations.add_message(session, values)
        if message_id is None:
            raise unknown_conversation(conversation_id)
        return message_id

    def end_conversation(self, conversation_id: int) -> None:
        """Mark a conversation as ended; ending it again changes nothing."""
        with self._database.transaction() as session:
            found = conversations.end(session, inputs.whole(conversation_id, "conversation_id"), clock.now())
        if not found:
            raise unknown_conversation(conversation_id)

    def close_stale(self, idle_seconds: float) -> int:
        """End the conversations that nobody has written in for `idle_seconds`; how many."""
        idle_since = clock.now() - inputs.duration(idle_seconds, "idle_seconds")
        with self._database.transaction() as session:
            return conversations.close_stale(session, idle_since)

    def get_conversation_history(
        self, conversation_id: int, limit: int = 1000, *, after_id: int = 0
    ) -> list[dict[str, Any]]:
        """The messages in the order in which they were logged, those after the message `after_id`; times are epoch
        seconds.
        """
        wanted = inputs.whole(conversation_id, "conversation_id")
        with self._database.reading() as session:
            if not conversations.exists(session, wanted):
                raise unknown_conversation(conversation_id)
            rows = conversations.messages(session, wanted, after_id=after_id, limit=inputs.limit(limit, most=10_000))
            return [_message_dict(row) for row in rows]

    def get_recent_messages(self, conversation_id: int, limit: int = 40) -> list[dict[str, Any]]:
        """The last messages in the order in which they were logged, as a model is given them."""
        wanted = inputs.whole(conversation_id, "conversation_id")
        with self._database.reading() as session:
            if not conversations.exists(session, wanted):
                raise unknown_conversation(conversation_id)
            rows = conversations.newest_messages(session, wanted, limit=inputs.limit(limit, most=1000))
            return [_message_dict(row) for row in rows]

    def get_user_conversations(self, user_id: Any, limit: int = 10) -> list[dict[str, Any]]:
        """The conversations of a person, newest first; times are epoch seconds."""
        with self._database.reading() as session:
            rows = conversations.of_user(session, self._person(user_id), inputs.limit(limit, most=1000))
            return [_conversation_dict(row) for row in rows]

    def page(self, limit: int = 50, cursor: str | None = None, *, days: int = 0, user_id: Any = None) -> Page:
        """One page of conversations, newest first; `days=0` looks at all of them."""
        return self._page(Conversation, limit, cursor, days, user_id=self._anybody(user_id))


def role_of(value: Any) -> str:
    """One of the roles for what bots really send; raises `InvalidInputError` for anything else."""
    given = inputs.text(value) or ""
    word = given.strip().lower()
    word = ROLE_SPELLINGS.get(word, word)
    if word in {role.value for role in MessageRole}:
        return word
    known = ", ".join(role.value for role in MessageRole)
    detail = f"{given[:40]!r} is no role; use one of {known}"
    raise InvalidInputError(detail, errors=(Fault("/role", detail),))


def _tokens(value: Any) -> int | None:
    return None if value is None else int(inputs.amount(inputs.whole(value, "tokens_used"), "tokens_used"))


def _checked(prices: Mapping[str, Any]) -> dict[str, Price]:
    try:
        return prices_of(prices)
    except ValueError as error:
        raise ConfigurationError(f"these prices cannot be meant; {error}") from None


def _cost(
    given: Decimal | float | None, model: str | None, usage: Usage, prices: Mapping[str, Price]
) -> Decimal | None:
    """The stated cost, or the one that the prices give for the tokens."""
    if given is not None:
        return Decimal(str(inputs.amount(given, "cost_usd")))
    return cost_of(model, usage, at=clock.now(), host_prices=prices).usd


def _message_dict(row: Message) -> dict[str, Any]:
    return {
        "id": row.id,
        "role": row.role,
        "content": row.content,
        "timestamp": row.timestamp.timestamp(),
        "tokens_used": row.tokens_used,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cached_tokens": row.cached_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "cost_usd": None if row.cost_usd is None else float(row.cost_usd),
        "cost_status": "known" if row.cost_usd is not None else unpriced(_usage_in(row)).value,
        "model": row.model,
        "latency_ms": row.latency_ms,
    }


def _usage_in(row: Message) -> Usage:
    return Usage(row.tokens_used, row.prompt_tokens, row.completion_tokens, row.cached_tokens, row.reasoning_tokens)


def _conversation_dict(row: Conversation) -> dict[str, Any]:
    return {
        "id": row.id,
        "user_id": row.user_id,
        "chat_id": row.chat_id,
        "started_at": row.started_at.timestamp(),
        "ended_at": _seconds(row.ended_at),
        "message_count": row.message_count,
        "total_tokens": row.total_tokens,
        "openai_cost": None if row.openai_cost is None else float(row.openai_cost),
        "model": row.model,
        "channel": row.channel,
    }


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def unknown_conversation(conversation_id: Any) -> NotFoundError:
    """The error for an id that no conversation has."""
    return NotFoundError(
        f"no conversation has the id {str(conversation_id)[:40]}; start one with start_conversation",
        code="CONVERSATION_NOT_FOUND",
    )
