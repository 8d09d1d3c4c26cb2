"""What happens with an update: it is logged in passing, signal buttons are recorded, commands are answered."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from stateful_engine.domain.redaction import redact_text
from stateful_engine.domain.vocabulary import InteractionSource, InteractionType
from stateful_engine.errors import SignalNotFoundError, StatefulEngineError
from stateful_engine.logging import logger
from stateful_engine.telegram import charts, messages
from stateful_engine.telegram.bot import StatefulBot, unavailable

if TYPE_CHECKING:
    from telegram import CallbackQuery, Update

P = ParamSpec("P")
T = TypeVar("T")
Handler = Callable[P, Coroutine[Any, Any, T]]

MAX_LOGGED_TEXT = 2000
KINDS = (
    "message",
    "edited_message",
    "channel_post",
    "inline_query",
    "chosen_inline_result",
    "my_chat_member",
    "message_reaction",
    "poll_answer",
)


@dataclass(frozen=True, slots=True)
class Press:
    """A signal button that somebody pressed; `repeated` when the signal had been executed before."""

    signal_id: str
    action: str
    value: str | None
    user_id: str
    chat_id: str | None
    repeated: bool = False


OnButton = Callable[[Press, "Update", Any], "Awaitable[str | None] | str | None"]


class UpdateLog:
    """Logs every update: commands, button presses, and that there was a message, its text only when asked."""

    def __init__(self, bot: StatefulBot, *, text: bool) -> None:
        self.bot = bot
        self._text = text

    async def __call__(self, update: Update, _context: Any) -> None:
        """The callback of the handler in group −1000; never raises."""
        with self.bot.runtime.guard("log_telegram_update"):
            kind, data = self._described(update)
            await self.bot.log_action(update, kind, data)

    def _described(self, update: Update) -> tuple[str, dict[str, Any]]:
        query, message = update.callback_query, update.effective_message
        if query is not None:
            return "button_click", {"button": redact_text(str(query.data or ""))[:64]}
        text = (message.text or message.caption or "") if message is not None else ""
        if text.startswith("/"):
            return "command", {"command": text.split(maxsplit=1)[0].partition("@")[0][:64], **self._said(text)}
        kind = next((name for name in KINDS if getattr(update, name, None) is not None), "other")
        return kind, {"length": len(text), **self._said(text)} if message is not None else {}

    def _said(self, text: str) -> dict[str, str]:
        return {"text": redact_text(text)[:MAX_LOGGED_TEXT]} if self._text else {}


class Buttons:
    """Records presses of signal buttons; every press is answered, also when recording fails."""

    def __init__(self, bot: StatefulBot, on_button: OnButton | None) -> None:
        self._bot = bot
        self._on_button = on_button

    async def __call__(self, update: Update, context: Any) -> None:
        """The callback of the handler; the work goes on beside the loop, and no other handler sees the press."""
        from telegram.ext import ApplicationHandlerStop

        context.application.create_task(self.answer(update, context), update=update)
        raise ApplicationHandlerStop

    async def answer(self, update: Update, context: Any) -> None:
        """Record the press, ask the host what to say, and answer."""
        reply = "This could not be recorded; please press again later."
        try:
            press = await self._bot.in_thread(self._record, update)
            reply = "This signal had been executed already." if press.repeated else "Recorded."
            reply = await self._asked(press, update, context) or reply
        except SignalNotFoundError:
            reply = "This signal is not known any more."
        except StatefulEngineError as error:
            logger.warning("a press of a signal button could not be recorded (%s)", error.code)
        finally:
            await self._say(update, reply)

    def _record(self, update: Update) -> Press:
        query, who = _query(update), self._bot.person(update)
        found = messages.CALLBACK_DATA.fullmatch(str(query.data))
        if found is None:
            raise SignalNotFoundError("the button names no signal; send a new message with buttons")
        press = Press(found[2], messages.CODES[found[1]].value, found[3], who.user_id, who.chat_id)
        data = {"chat_id": who.chat_id, "username": who.username, "callback_id": query.id}
        data |= {"value": press.value} if press.value else {}
        if press.action != InteractionType.EXECUTE.value:
            self._interaction(press, press.action, data)
            return press
        return self._execute(press, data)

    def _execute(self, press: Press, data: dict[str, Any]) -> Press:
        """The first press executes; every later one is kept as a click, so that executions are counted once."""
        done = self._bot.runtime.state_manager.execute(
            press.signal_id, None, source=InteractionSource.TELEGRAM.value, user_id=press.user_id, data=data
        )
        if not done.repeated:
            return press
        self._interaction(press, InteractionType.CLICK.value, {**data, "button": press.action})
        return Press(press.signal_id, press.action, press.value, press.user_id, press.chat_id, repeated=True)

    def _interaction(self, press: Press, kind: str, data: dict[str, Any]) -> None:
        interaction = {
            "type": kind,
            "source": InteractionSource.TELEGRAM.value,
            "user_id": press.user_id,
            "data": data,
        }
        self._bot.runtime.state_manager.track_user_interaction(press.signal_id, interaction)

    async def _asked(self, press: Press, update: Update, context: Any) -> str | None:
        """What the host wants to be said; its failure goes to the application's error handlers."""
        said = None if self._on_button is None else self._on_button(press, update, context)
        return await said if inspect.isawaitable(said) else said

    async def _say(self, update: Update, text: str) -> None:
        from telegram.error import TelegramError

        try:
            await _query(update).answer(text[:200])
        except TelegramError as error:
            logger.warning("a press of a signal button could not be answered (%s)", type(error).__name__)


class Commands:
    """`/dashboard` and `/signal <id>`."""

    def __init__(self, bot: StatefulBot, *, admins: Collection[int] | None, days: int, chart: bool) -> None:
        self._bot = bot
        self._admins = None if admins is None else frozenset(admins)
        self._days = days
        self._chart = chart

    async def dashboard(self, update: Update, _context: Any) -> None:
        """Answer with the figures, in as many messages as they need, and a chart."""
        message, user = update.effective_message, update.effective_user
        if message is None:
            return
        if self._admins is not None and (user is None or user.id not in self._admins):
            await message.reply_text("The dashboard is for administrators.")
            return
        try:
            figures = await self._bot.in_thread(self._bot.figures, self._days)
        except StatefulEngineError as error:
            await unavailable(message, error)
            return
        for text in messages.split(messages.dashboard_message(figures, days=self._days)):
            await message.reply_text(text, parse_mode="HTML")
        if self._chart:
            by_symbol = figures["recommendations"]["by_symbol"]
            picture = await self._bot.in_thread(charts.performance_chart, by_symbol, days=self._days)
            if picture is not None:
                await message.reply_photo(picture)

    async def signal(self, update: Update, context: Any) -> None:
        """Answer with a signal and its buttons, and record the look at it."""
        message = update.effective_message
        if message is None:
            return
        signal_id = context.args[0] if context.args else ""
        try:
            found = await self._bot.in_thread(self._bot.runtime.state_manager.get_signal, signal_id)
        except StatefulEngineError as error:
            await unavailable(message, error)
            return
        if found is None:
            await message.reply_text("Send /signal and the id of a signal, as it stands under its message.")
            return
        await self._bot.in_thread(self._viewed, signal_id, update)
        text, buttons = messages.signal_message(found), messages.signal_buttons(signal_id)
        await message.reply_text(text, parse_mode="HTML", reply_markup=buttons)

    def _viewed(self, signal_id: str, update: Update) -> None:
        who = self._bot.person(update)
        data = {"user_id": who.user_id, "chat_id": who.chat_id, "username": who.username}
        with self._bot.runtime.guard("record_a_view"):
            self._bot.runtime.integrator.track_telegram_interaction(signal_id, InteractionType.VIEW.value, data)


def tracked(action_type: str) -> Callable[[Handler[P, T]], Handler[P, T]]:
    """Record each call of a bot's handler as an action, with `latency_ms` and `outcome`.

    >>> @tracked("analysis_request")
    ... async def analyse(update, context): ...

    The handler's result and exceptions reach python-telegram-bot as without us. Works for methods and jobs too; in an
    application without `install` nothing is recorded.
    """

    def decorate(handler: Handler[P, T]) -> Handler[P, T]:
        @functools.wraps(handler)
        async def observed(*args: P.args, **named: P.kwargs) -> T:
            call = _Call(action_type, args)
            async with call:
                return await handler(*args, **named)

        return observed

    return decorate


class _Call:
    """One call of a tracked handler, from its start to the action that tells of it."""

    def __init__(self, action_type: str, args: tuple[Any, ...]) -> None:
        self._action_type = action_type
        self._bot = bot_of(getattr(args[-1], "application", None)) if args else None
        self._update = args[-2] if len(args) > 1 and hasattr(args[-2], "effective_user") else None
        self._started = time.perf_counter()

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if self._bot is None:
            return
        data: dict[str, Any] = {"latency_ms": round((time.perf_counter() - self._started) * 1000, 1), "outcome": "ok"}
        if isinstance(error, Exception) and type(error).__name__ != "ApplicationHandlerStop":
            data |= {"outcome": "error", "error": type(error).__name__}
        elif error is not None and not isinstance(error, Exception):
            data["outcome"] = "cancelled"
        await self._bot.log_action(self._update, self._action_type, data)


def bot_of(application: Any) -> StatefulBot | None:
    """The memory that is installed on an application, None where there is none.

    It is found by the handler that logs updates: `bot_data` would be written away by a persistence.
    """
    for handlers in getattr(application, "handlers", {}).values():
        for handler in handlers:
            marker = getattr(getattr(handler, "callback", None), "bot", None)
            if isinstance(marker, StatefulBot):
                return marker
    return None


def _query(update: Update) -> CallbackQuery:
    query = update.callback_query
    assert query is not None, "the handler takes callback queries only"
    return query
