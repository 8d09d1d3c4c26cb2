"""Bots that talk to a Bot API server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from stateful_engine import StatefulEngine
from stateful_engine.extension import Runtime
from stateful_engine.telegram import StatefulBot, install
from tests.telegram.bot_api import TOKEN, BotApi, serve


@pytest.fixture
def api() -> Iterator[BotApi]:
    """The Bot API of one test."""
    stub = BotApi()
    server = serve(stub)
    yield stub
    server.shutdown()
    server.server_close()


class Stage:
    """Lets a bot live through updates; each `play` is a new process's worth of bot."""

    def __init__(self, api: BotApi, engine: StatefulEngine, app: Flask) -> None:
        self.api = api
        self._engine = engine
        self._app = app
        self.runtime: Runtime = app.extensions["stateful_engine"]

    def application(self) -> Any:
        """An application that is not installed yet."""
        from telegram.ext import Application

        return Application.builder().token(TOKEN).base_url(self.api.url).build()

    def play(
        self,
        *updates: dict[str, Any],
        prepare: Callable[[Any, StatefulBot], None] | None = None,
        act: Callable[[StatefulBot], Any] | None = None,
        **options: Any,
    ) -> StatefulBot:
        """Install a bot, give it the updates one by one, and stop it; `act` may do something as the bot."""
        application = self.application()
        bot = install(application, self._engine, app=self._app, **options)
        if prepare is not None:
            prepare(application, bot)
        asyncio.run(self._live(application, bot, updates, act))
        self.runtime.flush()
        return bot

    async def _live(self, application: Any, bot: StatefulBot, updates: Any, act: Any) -> None:
        from telegram import Update

        async with application:
            await application.start()
            for update in updates:
                await application.process_update(Update.de_json(update, application.bot))
            if act is not None:
                await act(bot)
            await application.stop()

    def actions(self) -> list[dict[str, Any]]:
        """What was logged of people, oldest first."""
        from stateful_engine import AnalyticsLogger

        return list(reversed(AnalyticsLogger(self.runtime.database).page(100).items))

    def interactions(self, signal_id: str) -> list[dict[str, Any]]:
        """What happened to a signal by Telegram, in order."""
        timeline = self.runtime.state_manager.timeline(signal_id)["timeline"]
        found = [entry["data"] for entry in timeline if entry["kind"] == "interaction"]
        return [one for one in found if one["interaction_source"] == "TELEGRAM"]


@pytest.fixture
def stage(api: BotApi, engine: StatefulEngine, app: Flask) -> Stage:
    """Where bots live."""
    return Stage(api, engine, app)


@pytest.fixture
def signal_id(runtime: Runtime) -> str:
    """A signal that is stored."""
    from tests.factories import signal_data

    made = runtime.state_manager.save_signal_history(signal_data(), durable=True)
    return str(made)
