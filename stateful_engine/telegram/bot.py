"""What the engine holds for one Telegram application: the services it writes to, and how people are named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from stateful_engine.domain.redaction import redact_text
from stateful_engine.domain.vocabulary import InteractionSource
from stateful_engine.errors import ConfigurationError, SignalNotFoundError, StatefulEngineError
from stateful_engine.logging import logger
from stateful_engine.services.actions import AnalyticsLogger
from stateful_engine.services.click_links import Click, ClickLinks
from stateful_engine.services.conversations import ChatGPTLogger
from stateful_engine.services.journal import JournalRepo
from stateful_engine.services.performance import PerformanceDashboard
from stateful_engine.services.scanner import ScannerLogger
from stateful_engine.telegram import messages

if TYPE_CHECKING:
    from telegram import Message, Update

    from stateful_engine.extension import Runtime

T = TypeVar("T")

CHANNEL = "telegram"
EVENTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Person:
    """Who sent an update, and where: in groups the two differ."""

    user_id: str
    chat_id: str | None
    username: str | None


class StatefulBot:
    """The memory of one bot; `install` makes it, and returns the same one for the same application.

    All methods are for the event loop; the database works in threads.
    """

    def __init__(self, runtime: Runtime, application: Any) -> None:
        self.runtime = runtime
        self.application = application
        self.actions = AnalyticsLogger(runtime)
        self.conversations = ChatGPTLogger(runtime.database, prices=runtime.settings.prices)
        self.journal = JournalRepo(runtime.database)
        self.performance = PerformanceDashboard(runtime.database)
        self.scanner = ScannerLogger(runtime.database)

    async def send_signal(
        self, chat_id: int | str, signal: Mapping[str, Any] | str, *, target: str | None = None
    ) -> Message:
        """Send a signal with its buttons to a chat.

        `signal` is a `signal_id`, a signal as `get_signal` gives it, or a new signal's fields, which are recorded
        first. With `target` a button leads there by a link that records the click; in a private chat it names the
        person. Raises `SignalNotFoundError` for an unknown id, `InvalidInputError` for fields that cannot be meant.
        """
        stored = await self.in_thread(self._stored, signal)
        link = None if target is None else self._link(stored["signal_id"], target, chat_id)
        message: Message = await self.application.bot.send_message(
            chat_id,
            messages.signal_message(stored),
            parse_mode="HTML",
            reply_markup=messages.signal_buttons(stored["signal_id"], link),
        )
        return message

    async def open_conversation(self, update: Update) -> int:
        """The conversation of the sender in this chat, the one from before a restart if it has not ended."""
        who = self.person(update)
        return await self.in_thread(self.conversations.open_conversation, who.user_id, who.chat_id, channel=CHANNEL)

    async def log_message(self, update: Update, role: str, content: str | None, **details: Any) -> int:
        """Add a message to the sender's conversation, secrets blanked out; `details` as `ChatGPTLogger.log_message`."""
        conversation_id = await self.open_conversation(update)
        text = None if content is None else redact_text(content)
        return await self.in_thread(self.conversations.log_message, conversation_id, role, text, **details)

    async def log_action(self, update: Update | None, action_type: str, data: Mapping[str, Any]) -> None:
        """Record in passing what somebody did, without waiting for the database; never raises."""
        with self.runtime.guard("log_telegram_update"):
            if self.runtime.settings.enabled:
                who = self.person(update)
                await self.in_thread(
                    self.actions.save_action, who.user_id, who.chat_id, action_type, dict(data), durable=False
                )

    def person(self, update: Update | None) -> Person:
        """Who sent `update`; the chat stands for the person in channels, `bot` for nobody (jobs)."""
        user = update.effective_user if update else None
        chat = update.effective_chat if update else None
        known = user or chat
        number = "bot" if known is None else str(known.id)
        people = self.runtime.database.people
        return Person(
            people.of(number) if known else number,
            None if chat is None else people.of(str(chat.id)),
            None if people.hidden or user is None else user.username,
        )

    def figures(self, days: int) -> dict[str, Any]:
        """All that `/dashboard` shows."""
        return {
            "signals": self.runtime.analytics.signals(days=days),
            "recommendations": self.performance.get_recommendation_performance(days),
            "engagement": self.performance.get_user_engagement(days),
            "scanner": self.performance.get_signal_scanner_stats(days),
            "journal": self.journal.recent(EVENTS_SHOWN),
        }

    async def in_thread(self, call: Callable[..., T], *args: Any, **named: Any) -> T:
        """Run what waits for the database beside the event loop."""
        return await asyncio.to_thread(call, *args, **named)

    def _link(self, signal_id: str, target: str, chat_id: int | str) -> str:
        settings = self.runtime.settings
        if settings.public_url is None:
            raise ConfigurationError("a link needs the address of this app; set STATEFUL_PUBLIC_URL")
        person = str(chat_id) if str(chat_id).isdigit() else None
        click = Click(signal_id, target, person, InteractionSource.TELEGRAM.value)
        return ClickLinks(settings, self.runtime.database.people).link(settings.public_url, click)

    def _stored(self, signal: Mapping[str, Any] | str) -> Mapping[str, Any]:
        manager = self.runtime.state_manager
        if isinstance(signal, Mapping) and signal.get("signal_id"):
            return signal
        signal_id = signal if isinstance(signal, str) else manager.save_signal_history(signal, {"source": "TELEGRAM"})
        found = manager.get_signal(signal_id)
        if found is None:
            raise SignalNotFoundError(f"no signal has the id {signal_id[:64]!r}; use the id that recording returned")
        return found


async def unavailable(message: Message, error: StatefulEngineError) -> None:
    """Tell a person that the memory does not answer at present."""
    logger.warning("a command of the bot could not be answered (%s)", error.code)
    await message.reply_text("This cannot be looked up right now; please try again later.")
