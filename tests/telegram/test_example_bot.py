"""The example bot as its own process, end to end against a local Bot API."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stateful_engine import AnalyticsLogger, ChatGPTLogger, ConfigurationError, StatefulEngine
from stateful_engine.storage.database import Database
from stateful_engine.telegram.example_bot import analyses, build
from tests.factories import ROOT
from tests.telegram.bot_api import BIG_ID, TOKEN, BotApi, message, press

STOPS_WITHIN = 30


@contextmanager
def running(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """The bot, until the block ends; it must end as asked, and never show its token."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("FLASK_", "TELEGRAM_"))}
    command = [sys.executable, "-m", "stateful_engine.telegram.example_bot"]
    log = folder / "bot.log"
    with log.open("wb") as output:
        bot = subprocess.Popen(
            command, cwd=folder, env={**own, "PYTHONPATH": str(ROOT), **environment}, stdout=output, stderr=output
        )
        try:
            yield
            bot.send_signal(signal.SIGTERM)
            assert bot.wait(STOPS_WITHIN) == 0, log.read_text()
        finally:
            bot.kill()
            bot.wait()
    assert TOKEN not in log.read_text()


def wait_for_text(api: BotApi, text: str) -> dict[str, str]:
    return api.wait_for("sendMessage", lambda sent: text in sent["text"])


def test_the_example_bot_remembers_over_a_restart(api: BotApi, tmp_path: Path) -> None:
    environment = {
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_API_URL": api.url,
        "TELEGRAM_ADMINS": str(BIG_ID),
        "TELEGRAM_ALERT_CHATS": "-100777",
    }
    api.deliver(message("/demo"))
    api.deliver(message("/chatgpt Gold?"))
    with running(tmp_path, environment):
        sent = api.wait_for("sendMessage", lambda call: "reply_markup" in call)
        assert "above &lt;2640&gt;" in sent["text"]
        execute = re.findall(r"se:x:sig_\w+", sent["reply_markup"])[0]
        api.deliver(press(execute))
        assert api.wait_for("answerCallbackQuery")["text"] == "Recorded."
        wait_for_text(api, "Message 1: Gold?")
        api.wait_for("sendMessage", lambda call: call["chat_id"] == "-100777")
    api.updates.clear()
    api.deliver(message("And silver?"))
    with running(tmp_path, environment):
        wait_for_text(api, "Message 3: And silver?")
        api.deliver(message("/dashboard"))
        shown = wait_for_text(api, "<b>Dashboard, 30 days</b>")
        assert "1 made, 1 executed, 0 closed" in shown["text"]
    assert remembered(tmp_path) == {
        "conversations": [
            ("user", "Gold?"),
            ("assistant", "Message 1: Gold?"),
            ("user", "And silver?"),
            ("assistant", "Message 3: And silver?"),
        ],
        "actions": ["analysis_request", "button_click", "command", "command", "command", "message"],
    }
    assert len([sent for sent in api.made("sendMessage") if sent["chat_id"] == "-100777"]) == 1


def remembered(folder: Path) -> dict[str, Any]:
    """What is in the bot's database once it has stopped."""
    database = Database(f"sqlite:///{folder / 'instance' / 'stateful_engine.sqlite'}")
    try:
        [conversation] = ChatGPTLogger(database).get_user_conversations(BIG_ID)
        history = ChatGPTLogger(database).get_conversation_history(conversation["id"])
        actions = AnalyticsLogger(database).page(100).items
        return {
            "conversations": [(one["role"], one["content"]) for one in history],
            "actions": sorted(action["action_type"] for action in actions),
        }
    finally:
        database.dispose()


def test_the_example_is_built_from_its_environment(
    api: BotApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from telegram import Update

    monkeypatch.chdir(tmp_path)
    engine = StatefulEngine()
    environment = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": api.url, "TELEGRAM_ADMINS": f"{BIG_ID}, 2"}
    application = build(engine, environment)

    async def live() -> None:
        async with application:
            await application.start()
            for text in ("/demo", "/chatgpt Gold?", "/dashboard"):
                await application.process_update(Update.de_json(message(text), application.bot))
            await application.stop()

    asyncio.run(live())
    sent = [call["text"] for call in api.made("sendMessage")]
    assert any("above &lt;2640&gt;" in text for text in sent)
    assert "Message 1: Gold?" in sent
    assert engine.close()
    with pytest.raises(ConfigurationError, match="TELEGRAM_BOT_TOKEN"):
        build(engine, {})


def test_the_scanner_of_the_example_asks_an_endpoint_when_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "XAU USD").write_text('{"technical_analysis": {}}')
    fetch = analyses(tmp_path.as_uri() + "/{symbol}")
    assert fetch("XAU USD") == {"technical_analysis": {}}
    assert analyses(None)("XAUUSD")["technical_analysis"]["trade_recommendation"]["confidence"] == 82


def refused(folder: Path, environment: dict[str, str]) -> str:
    """What the bot says when it does not start: one line, without its token."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("FLASK_", "TELEGRAM_"))}
    done = subprocess.run(
        [sys.executable, "-m", "stateful_engine.telegram.example_bot"],
        cwd=folder,
        env={**own, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=STOPS_WITHIN,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert TOKEN not in done.stderr
    return done.stderr.splitlines()[-1]


def test_without_a_token_the_bot_says_what_to_do(tmp_path: Path) -> None:
    assert "set TELEGRAM_BOT_TOKEN" in refused(tmp_path, {})


def test_a_token_that_telegram_refuses_is_told_in_one_line(api: BotApi, tmp_path: Path) -> None:
    api.refuse.add("getMe")
    said = refused(tmp_path, {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": api.url})
    assert said.startswith("Telegram does not know this token; set TELEGRAM_BOT_TOKEN")


def test_a_telegram_that_does_not_answer_is_told_in_one_line(tmp_path: Path) -> None:
    said = refused(tmp_path, {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": "http://127.0.0.1:1/bot"})
    assert said == "Telegram does not answer (NetworkError); check the connection, or TELEGRAM_API_URL"


def test_admins_that_are_no_numbers_are_told_in_one_line(tmp_path: Path) -> None:
    said = refused(tmp_path, {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_ADMINS": "@me"})
    assert said == "TELEGRAM_ADMINS holds something else than ids; set it to numbers such as 7000000001"
