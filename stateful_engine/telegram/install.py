"""`install`: gives a python-telegram-bot application the engine's memory."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.errors import MissingExtraError
from stateful_engine.telegram import library
from stateful_engine.telegram.bot import StatefulBot
from stateful_engine.telegram.handlers import Buttons, Commands, OnButton, UpdateLog, bot_of
from stateful_engine.telegram.messages import CALLBACK_DATA
from stateful_engine.telegram.scanning import JOB_NAME, ScannerJob, Scanning
from stateful_engine.telegram.talks import Reply, Talks

if TYPE_CHECKING:
    from flask import Flask
    from telegram.ext import Application

    from stateful_engine.extension import StatefulEngine

LOG_GROUP = -1000
BUTTON_GROUP = -999
TALK_GROUP = -998


def install(
    application: Application[Any, Any, Any, Any, Any, Any],
    engine: StatefulEngine,
    *,
    app: Flask | None = None,
    log_text: bool = False,
    admins: Collection[int] | None = None,
    dashboard_days: int = 30,
    chart: bool | None = None,
    on_button: OnButton | None = None,
    reply: Reply | None = None,
    scanner: ScannerJob | None = None,
) -> StatefulBot:
    """Log all updates, record signal buttons, and answer `/dashboard` and `/signal`; a second call changes nothing.

    >>> bot = install(application, engine)

    `app` is the Flask app whose memory the bot writes to, needed when `engine` serves several and none is current.
    `log_text` keeps what people write, secrets blanked out. `admins` are the user ids that may see `/dashboard`, None
    lets everybody. `chart` sends a picture with it (None: where the extra `charts` is installed). `on_button(press,
    update, context)` is told of every signal button and may return the answer. `reply(history)` answers `/chatgpt`
    and the messages that follow. `scanner` is run by the job queue.

    Raises `MissingExtraError` without python-telegram-bot 21 or newer, or matplotlib with `chart=True`, and
    `ConfigurationError` when it is not clear which app is meant. Install before the host's own handlers.
    """
    library.require_telegram()
    known = bot_of(application)
    if known is not None:
        return known
    if chart:
        library.require_charts()
    bot = StatefulBot(engine.runtime_for(app), application)
    if scanner is not None:
        _schedule(application, Scanning(bot, scanner), scanner)
    _add_buttons(application, bot, on_button)
    _add_commands(
        application,
        Commands(bot, admins=admins, days=dashboard_days, chart=library.has_charts() if chart is None else chart),
    )
    if reply is not None:
        _add_talks(application, Talks(bot, reply))
    _add_log(application, UpdateLog(bot, text=log_text))
    return bot


def _add_log(application: Any, log: UpdateLog) -> None:
    from telegram import Update
    from telegram.ext import TypeHandler

    application.add_handler(TypeHandler(Update, log, block=False), group=LOG_GROUP)


def _add_buttons(application: Any, bot: StatefulBot, on_button: OnButton | None) -> None:
    from telegram.ext import CallbackQueryHandler

    application.add_handler(CallbackQueryHandler(Buttons(bot, on_button), pattern=CALLBACK_DATA), group=BUTTON_GROUP)


def _add_commands(application: Any, commands: Commands) -> None:
    from telegram.ext import CommandHandler

    application.add_handler(CommandHandler("dashboard", commands.dashboard, block=False))
    application.add_handler(CommandHandler("signal", commands.signal, block=False))


def _add_talks(application: Any, talks: Talks) -> None:
    from telegram.ext import CommandHandler, MessageHandler, filters

    application.add_handler(CommandHandler("chatgpt", talks.start, block=False))
    application.add_handler(CommandHandler("done", talks.end, block=False))
    said = filters.TEXT & ~filters.COMMAND & filters.UpdateType.MESSAGE
    application.add_handler(MessageHandler(said, talks.go_on), group=TALK_GROUP)


def _schedule(application: Any, scanning: Scanning, job: ScannerJob) -> None:
    """Queue the scanner. Its first round is run also when the bot starts more slowly than `first` seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        queue = application.job_queue
    if queue is None:
        raise MissingExtraError(
            "the scanner needs the bot's job queue; install the extra: pip install 'stateful_engine[telegram]'"
        )
    first = clock.now() + timedelta(seconds=job.first)
    once = {"next_run_time": first, "max_instances": 1, "coalesce": True, "misfire_grace_time": None}
    queue.run_repeating(scanning, job.interval, first=first, name=JOB_NAME, job_kwargs=once)
