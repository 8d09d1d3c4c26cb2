"""Conversations with a model that survive restarts: their state is in the database, not in the process."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stateful_engine.domain.redaction import redact_text
from stateful_engine.errors import StatefulEngineError
from stateful_engine.telegram.bot import CHANNEL, StatefulBot, unavailable
from stateful_engine.telegram.messages import split

if TYPE_CHECKING:
    from telegram import Message, Update

MESSAGES_REMEMBERED = 40


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered, with what `ChatGPTLogger.log_message` takes: model, usage, latency."""

    text: str
    model: str | None = None
    usage: Any = None
    latency_ms: float | None = None


History = Sequence[Mapping[str, Any]]
Reply = Callable[[History], "Awaitable[Answer | str] | Answer | str"]
"""Gets `[{"role", "content"}, …]`, the newest last, and gives the answer as plain text."""


class Talks:
    """`/chatgpt` begins or goes on, a message goes on, `/done` ends."""

    def __init__(self, bot: StatefulBot, reply: Reply) -> None:
        self._bot = bot
        self._reply = reply

    async def start(self, update: Update, context: Any) -> None:
        """Open the conversation; the words after the command are its first message."""
        message = update.effective_message
        if message is None:
            return
        try:
            conversation_id = await self._bot.open_conversation(update)
        except StatefulEngineError as error:
            await unavailable(message, error)
            return
        text = " ".join(context.args or ())
        if text:
            await self._answer(message, conversation_id, text)
        else:
            await message.reply_text("Go ahead; /done ends the conversation.")

    async def go_on(self, update: Update, context: Any) -> None:
        """Answer a message when its sender has an open conversation in this chat; no other handler sees it then.

        The model is asked beside the loop, so that other people do not wait for it.
        """
        from telegram.ext import ApplicationHandlerStop

        message, conversation_id = update.effective_message, None
        with self._bot.runtime.guard("find_a_conversation"):
            conversation_id = await self._bot.in_thread(self._open, update)
        if message is not None and message.text and conversation_id is not None:
            answer = self._answer(message, conversation_id, message.text)
            context.application.create_task(answer, update=update)
            raise ApplicationHandlerStop

    async def end(self, update: Update, _context: Any) -> None:
        """End the open conversation, if there is one."""
        message = update.effective_message
        if message is None:
            return
        try:
            conversation_id = await self._bot.in_thread(self._open, update)
            if conversation_id is not None:
                await self._bot.in_thread(self._bot.conversations.end_conversation, conversation_id)
        except StatefulEngineError as error:
            await unavailable(message, error)
            return
        await message.reply_text("The conversation has ended." if conversation_id else "Nothing was open.")

    def _open(self, update: Update) -> int | None:
        who = self._bot.person(update)
        return self._bot.conversations.find_open_conversation(who.user_id, who.chat_id, channel=CHANNEL)

    async def _answer(self, message: Message, conversation_id: int, text: str) -> None:
        """Log what was said and answer it; an answer that is there is sent also when it cannot be logged."""
        try:
            history = await self._bot.in_thread(self._heard, conversation_id, text)
        except StatefulEngineError as error:
            await unavailable(message, error)
            return
        given = await self._asked(message, history)
        if given is None:
            return
        answer = Answer(given) if isinstance(given, str) else given
        with self._bot.runtime.guard("log_an_answer"):
            await self._bot.in_thread(self._said, conversation_id, answer)
        for part in split(answer.text):
            await message.reply_text(part)

    async def _asked(self, message: Message, history: History) -> Answer | str | None:
        """What the host's model says; its failure goes to the application's error handlers, and the person is told."""
        given: Answer | str | None = None
        try:
            said = self._reply(history)
            given = await said if inspect.isawaitable(said) else said
        finally:
            if given is None:
                await message.reply_text("This could not be answered right now; please try again.")
        return given

    def _heard(self, conversation_id: int, text: str) -> list[dict[str, Any]]:
        """Log what a person said; returns what the model should know, with the words as they were said just now."""
        logger = self._bot.conversations
        before = logger.get_recent_messages(conversation_id, MESSAGES_REMEMBERED)
        logger.log_message(conversation_id, "user", redact_text(text))
        known = [{"role": one["role"], "content": one["content"]} for one in before]
        return [*known, {"role": "user", "content": text}]

    def _said(self, conversation_id: int, answer: Answer) -> None:
        self._bot.conversations.log_message(
            conversation_id,
            "assistant",
            redact_text(answer.text),
            model=answer.model,
            usage=answer.usage,
            latency_ms=answer.latency_ms,
        )
