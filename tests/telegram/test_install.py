"""A bot with memory: what it logs, records and answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from stateful_engine import (
    AnalyticsLogger,
    ConfigurationError,
    JournalRepo,
    MissingExtraError,
    RecommendationLogger,
    SignalNotFoundError,
    StatefulEngine,
    StorageUnavailableError,
)
from stateful_engine.guard import Guard
from stateful_engine.recording.recorder import Recorder
from stateful_engine.storage.database import Database
from stateful_engine.telegram import button, install, tracked
from stateful_engine.telegram.library import require_telegram
from tests.factories import ROOT, signal_data
from tests.telegram.bot_api import BIG_ID, BotApi, message, press
from tests.telegram.conftest import Stage

GROUP = -100_123
NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"


def kinds(stage: Stage) -> list[str]:
    return sorted(action["action_type"] for action in stage.actions())


# What is logged


def test_commands_messages_and_buttons_are_logged_without_what_people_wrote(stage: Stage) -> None:
    stage.play(message("/start secret words"), message("my password is hunter2", chat_id=GROUP), press("other:button"))
    assert kinds(stage) == ["button_click", "command", "message"]
    by_kind = {action["action_type"]: action for action in stage.actions()}
    assert by_kind["command"]["action_data"] == {"command": "/start"}
    assert by_kind["message"]["action_data"] == {"length": 22}
    assert by_kind["button_click"]["action_data"] == {"button": "other:button"}
    assert (by_kind["message"]["user_id"], by_kind["message"]["chat_id"]) == (str(BIG_ID), str(GROUP))


def test_text_is_logged_when_asked_for_but_no_secrets(stage: Stage) -> None:
    stage.play(message("use api_key=abcdef0123456789 please"), log_text=True)
    [action] = stage.actions()
    assert action["action_data"]["text"] == "use api_key=[redacted] please"


def test_a_database_that_is_away_does_not_disturb_the_bot_and_what_was_done_is_stored_later(
    api: BotApi, make_app: Callable[..., Flask], database_url: str
) -> None:
    engine = StatefulEngine()
    stage = Stage(api, engine, make_app(engine=engine, STATEFUL_DATABASE_URL=NOBODY))
    heard: list[str] = []
    stage.play(message("hello"), prepare=lambda application, _bot: listen(application, heard))
    assert heard == ["hello"]
    stage.runtime.close(timeout=0.1)
    database = Database(database_url)
    assert Recorder(database, stage.runtime.settings, Guard()).drain()
    assert [action["action_type"] for action in AnalyticsLogger(database).page().items] == ["message"]


def listen(application: Any, heard: list[str]) -> None:
    from telegram.ext import MessageHandler, filters

    async def note(update: Any, _context: Any) -> None:
        heard.append(update.effective_message.text)

    application.add_handler(MessageHandler(filters.TEXT, note))


def test_nothing_is_recorded_with_the_kill_switch(make_app: Any, api: Any) -> None:
    engine = StatefulEngine()
    stage = Stage(api, engine, make_app(engine=engine, STATEFUL_ENABLED=False))
    stage.play(message("hello"))
    assert stage.actions() == []


def test_people_are_pseudonyms_when_user_ids_are_to_be_hashed(make_app: Any, api: Any) -> None:
    engine = StatefulEngine()
    stage = Stage(api, engine, make_app(engine=engine, STATEFUL_HASH_USER_IDS=True))
    stage.play(message("hello"))
    [action] = stage.actions()
    assert action["user_id"] == stage.runtime.database.people.of(str(BIG_ID))
    assert action["user_id"].startswith("anon-")
    assert str(BIG_ID) not in json.dumps(action)


def test_a_tracked_handler_tells_how_long_it_took_and_how_it_ended(stage: Stage) -> None:
    @tracked("analysis_request")
    async def analyse(update: Any, context: Any) -> int:
        if "bad" in context.args:
            raise RuntimeError("no data")
        return 7

    returned: list[Any] = []

    def prepare(application: Any, _bot: Any) -> None:
        from telegram.ext import CommandHandler

        async def failed(update: object, context: Any) -> None:
            returned.append(type(context.error).__name__)

        application.add_handler(CommandHandler("analyse", analyse))
        application.add_error_handler(failed)

    stage.play(message("/analyse"), message("/analyse bad"), prepare=prepare)
    told = [action["action_data"] for action in stage.actions() if action["action_type"] == "analysis_request"]
    assert [(one["outcome"], one.get("error")) for one in told] == [("ok", None), ("error", "RuntimeError")]
    assert all(one["latency_ms"] >= 0 for one in told)
    assert returned == ["RuntimeError"]


def test_a_tracked_handler_works_in_an_application_without_memory() -> None:
    @tracked("analysis_request")
    async def analyse(update: Any, context: Any) -> int:
        return 7

    assert asyncio.run(analyse(None, None)) == 7


# Buttons


def test_every_press_of_a_signal_button_is_recorded_and_answered(stage: Stage, signal_id: str) -> None:
    buttons = [button("x", signal_id, action) for action in ("CLICK", "FEEDBACK", "SHARE", "EXECUTE")]
    stage.play(*(press(str(one.callback_data)) for one in buttons))
    recorded = stage.interactions(signal_id)
    assert sorted(one["interaction_type"] for one in recorded) == ["CLICK", "EXECUTE", "FEEDBACK", "SHARE"]
    assert {(one["user_id"], one["interaction_data"]["chat_id"]) for one in recorded} == {(str(BIG_ID), str(GROUP))}
    assert [one["text"] for one in stage.api.made("answerCallbackQuery")] == ["Recorded."] * 4
    signal = stage.runtime.state_manager.get_signal(signal_id)
    assert signal is not None
    assert (signal["is_executed"], signal["execution_source"]) == (True, "TELEGRAM")
    assert kinds(stage) == ["button_click"] * 4


def test_a_signal_is_executed_once_and_later_presses_are_clicks(stage: Stage, signal_id: str) -> None:
    data = str(button("x", signal_id, "EXECUTE").callback_data)
    stage.play(press(data))
    stage.play(press(data, user_id=2))
    recorded = stage.interactions(signal_id)
    assert [(one["interaction_type"], one["user_id"]) for one in recorded] == [
        ("EXECUTE", str(BIG_ID)),
        ("CLICK", "2"),
    ]
    assert stage.api.made("answerCallbackQuery")[1]["text"] == "This signal had been executed already."


def test_the_host_is_told_of_a_press_and_chooses_the_answer(stage: Stage, signal_id: str) -> None:
    async def on_button(press: Any, update: Any, context: Any) -> str:
        return f"{press.action} {press.value} by {press.user_id}"

    stage.play(press(f"se:f:{signal_id}:up"), on_button=on_button)
    assert stage.api.made("answerCallbackQuery")[0]["text"] == f"FEEDBACK up by {BIG_ID}"


def test_a_host_that_fails_after_a_press_has_it_recorded_and_answered(stage: Stage, signal_id: str) -> None:
    failures: list[str] = []

    def on_button(press: Any, update: Any, context: Any) -> str:
        raise RuntimeError("no broker")

    def prepare(application: Any, _bot: Any) -> None:
        async def failed(update: object, context: Any) -> None:
            failures.append(str(context.error))

        application.add_error_handler(failed)

    stage.play(press(f"se:x:{signal_id}"), on_button=on_button, prepare=prepare)
    assert stage.api.made("answerCallbackQuery")[0]["text"] == "Recorded."
    assert [one["interaction_type"] for one in stage.interactions(signal_id)] == ["EXECUTE"]
    assert failures == ["no broker"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (StorageUnavailableError("away; try again later"), "could not be recorded"),
        (SignalNotFoundError("unknown; look it up"), "not known"),
    ],
)
def test_a_press_is_answered_also_when_it_cannot_be_recorded(
    stage: Stage, signal_id: str, monkeypatch: pytest.MonkeyPatch, fault: Exception, said: str
) -> None:
    def refuse(*args: Any, **named: Any) -> None:
        raise fault

    monkeypatch.setattr(stage.runtime.state_manager, "execute", refuse)
    stage.play(press(f"se:x:{signal_id}"))
    assert said in stage.api.made("answerCallbackQuery")[0]["text"]


def test_an_answer_that_telegram_refuses_is_no_error(stage: Stage, signal_id: str) -> None:
    stage.api.refuse.add("answerCallbackQuery")
    stage.play(press(f"se:s:{signal_id}"))
    assert [one["interaction_type"] for one in stage.interactions(signal_id)] == ["SHARE"]


# Commands


def play_a_month(stage: Stage) -> None:
    """Two recommendations, one executed and won; two presses of a button, an order pair and a trailing stop."""
    logger = RecommendationLogger(stage.runtime.database)
    won = logger.log_recommendation(1, "XAUUSD", "BUY", 2650, 2635, 2680, confidence=80)
    logger.log_recommendation(1, "<b>&", "SELL")
    logger.mark_executed(won, 4711)
    logger.update_result(won, 30.0, 2.0)
    actions = AnalyticsLogger(stage.runtime.database)
    for _ in range(2):
        actions.log_action(7, 7, "button")
    journal = JournalRepo(stage.runtime.database)
    journal.log_oco_result({"symbol": "XAUUSD", "order_a_ticket": 1, "order_b_ticket": 2}, filled="A")
    journal.log_trailing_stop({"symbol": "XAUUSD", "ticket": 1}, {"old_sl": 2635, "new_sl": 2650})


def test_the_dashboard_shows_figures_journal_and_a_chart(stage: Stage) -> None:
    play_a_month(stage)
    stage.play(message("/dashboard"))
    [sent] = stage.api.made("sendMessage")
    assert sent["parse_mode"] == "HTML"
    for shown in (
        "2 made, 1 executed (50%)",
        "Win rate 100% (n = 1), average P&amp;L 30, average R 2",
        "• XAUUSD: 1 executed, 1 won, average 30",
        "• oco_triggered XAUUSD order A",
        "• trailing_stop_adjusted XAUUSD stop 2635 → 2650",
    ):
        assert shown in sent["text"]
    is_itself_counted_already = "3 actions of 2 people, 1.5 each" in sent["text"]
    assert is_itself_counted_already or "2 actions of 1 people, 2 each" in sent["text"]
    assert stage.api.made("sendPhoto")[0]["png"] == "True"


def test_only_administrators_see_the_dashboard_when_there_are_some(stage: Stage) -> None:
    stage.play(message("/dashboard"), message("/dashboard", user_id=42), admins=[42], chart=False)
    texts = {sent["chat_id"]: sent["text"] for sent in stage.api.made("sendMessage")}
    assert texts[str(BIG_ID)] == "The dashboard is for administrators."
    assert texts["42"].startswith("<b>Dashboard")


def test_the_dashboard_says_so_when_the_figures_are_away(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(days: int) -> None:
        raise StorageUnavailableError("away; try again later")

    stage.play(message("/dashboard"), prepare=lambda _application, bot: monkeypatch.setattr(bot, "figures", away))
    assert "try again later" in stage.api.made("sendMessage")[0]["text"]


def test_a_signal_is_shown_with_buttons_and_the_look_at_it_is_recorded(stage: Stage, signal_id: str) -> None:
    stage.play(message(f"/signal {signal_id}"), message("/signal"), message("/signal sig_000000000000_1"))
    shown, *others = sorted(stage.api.made("sendMessage"), key=lambda sent: "reply_markup" not in sent)
    assert shown["text"].startswith("<b>BUY BTCUSDT</b> 1H\nEntry: 45000")
    assert f"se:x:{signal_id}" in shown["reply_markup"]
    assert all("id of a signal" in sent["text"] for sent in others)
    assert [one["interaction_type"] for one in stage.interactions(signal_id)] == ["VIEW"]


def test_a_signal_that_is_new_is_recorded_before_it_is_sent(stage: Stage) -> None:
    async def act(bot: Any) -> None:
        await bot.send_signal(GROUP, signal_data(ai_reasoning="above <45000> & rising"))
        with pytest.raises(SignalNotFoundError):
            await bot.send_signal(GROUP, "sig_000000000000_1")

    stage.play(act=act)
    [sent] = stage.api.made("sendMessage")
    [stored] = stage.runtime.state_manager.get_signal_history()
    assert stored["signal_id"] in sent["text"]
    assert "above &lt;45000&gt; &amp; rising" in sent["text"]
    assert sent["chat_id"] == str(GROUP)


def test_a_signal_can_be_sent_with_a_link_that_records_the_click(make_app: Any, api: Any) -> None:
    engine = StatefulEngine()
    app = make_app(engine=engine, STATEFUL_PUBLIC_URL="https://bot.example", STATEFUL_LINK_TARGETS="chart.example")
    stage = Stage(api, engine, app)

    async def act(bot: Any) -> None:
        await bot.send_signal(BIG_ID, signal_data(), target="https://chart.example/btc")

    stage.play(act=act)
    [sent] = stage.api.made("sendMessage")
    link = json.loads(sent["reply_markup"])["inline_keyboard"][2][0]["url"]
    assert link.startswith("https://bot.example/api/gpts/state/r/")
    answer = app.test_client().get(link, headers={"User-Agent": "Mozilla/5.0"})
    assert answer.headers["Location"] == "https://chart.example/btc"
    [stored] = stage.runtime.state_manager.get_signal_history()
    [click] = [one for one in stage.interactions(stored["signal_id"]) if one["interaction_type"] == "CLICK"]
    assert (click["interaction_source"], click["user_id"]) == ("TELEGRAM", str(BIG_ID))


def test_a_link_under_a_signal_needs_the_address_of_the_app(stage: Stage) -> None:
    async def act(bot: Any) -> None:
        with pytest.raises(ConfigurationError, match="STATEFUL_PUBLIC_URL"):
            await bot.send_signal(BIG_ID, signal_data(), target="https://chart.example/btc")

    stage.play(act=act)


# Conversations


async def count_messages(history: Any) -> str:
    return f"{len(history)}: {history[-1]['content']}"


def test_a_conversation_goes_on_after_a_restart(stage: Stage) -> None:
    stage.play(message("/chatgpt Gold?"), reply=count_messages)
    bot = stage.play(message("And silver, sk-0123456789abcdefghij?"), reply=count_messages)
    [conversation] = bot.conversations.get_user_conversations(BIG_ID)
    history = bot.conversations.get_conversation_history(conversation["id"])
    assert [(one["role"], one["content"]) for one in history] == [
        ("user", "Gold?"),
        ("assistant", "1: Gold?"),
        ("user", "And silver, [redacted]?"),
        ("assistant", "3: And silver, [redacted]?"),
    ]
    assert conversation["channel"] == "telegram"
    assert stage.api.made("sendMessage")[0]["text"] == "1: Gold?"


def test_a_model_that_fails_is_told_to_the_person_and_to_the_hosts_error_handlers(stage: Stage) -> None:
    failures: list[str] = []

    async def note(_update: Any, context: Any) -> None:
        failures.append(type(context.error).__name__)

    def broken(_history: Any) -> str:
        raise TimeoutError

    def prepare(application: Any, _bot: Any) -> None:
        application.add_error_handler(note)

    bot = stage.play(message("/chatgpt Gold?"), reply=broken, prepare=prepare)
    assert failures == ["TimeoutError"]
    assert [sent["text"] for sent in stage.api.made("sendMessage")] == [
        "This could not be answered right now; please try again."
    ]
    [conversation] = bot.conversations.get_user_conversations(BIG_ID)
    assert conversation["message_count"] == 1
    assert conversation["ended_at"] is None


@pytest.mark.parametrize("said", ["/chatgpt", "/chatgpt Gold?", "/done"])
def test_a_person_is_told_that_conversations_are_away(api: BotApi, make_app: Callable[..., Flask], said: str) -> None:
    engine = StatefulEngine()
    stage = Stage(api, engine, make_app(engine=engine, STATEFUL_DATABASE_URL=NOBODY))
    stage.play(message(said), reply=count_messages)
    assert [sent["text"] for sent in api.made("sendMessage")] == [
        "This cannot be looked up right now; please try again later."
    ]


def test_an_answer_is_sent_also_when_it_cannot_be_logged(stage: Stage) -> None:
    def forgetting(history: Any) -> str:
        stage.runtime.state_manager.forget_user(str(BIG_ID))
        return f"{len(history)} heard"

    stage.play(message("/chatgpt Gold?"), reply=forgetting)
    assert [sent["text"] for sent in stage.api.made("sendMessage")] == ["1 heard"]
    assert stage.runtime.guard.snapshot()["failed_log_an_answer"] == 1


def test_after_done_the_bot_is_silent(stage: Stage) -> None:
    stage.play(message("/chatgpt"), reply=count_messages)
    stage.play(message("/done"), reply=count_messages)
    heard: list[str] = []
    stage.play(message("hello?"), reply=count_messages, prepare=lambda application, _bot: listen(application, heard))
    texts = [sent["text"] for sent in stage.api.made("sendMessage")]
    assert texts == ["Go ahead; /done ends the conversation.", "The conversation has ended."]
    assert heard == ["hello?"]


def test_what_is_said_in_another_chat_is_another_matter(stage: Stage) -> None:
    stage.play(message("/chatgpt Gold?"), reply=count_messages)
    stage.play(message("lunch?", chat_id=GROUP), reply=count_messages)
    assert len(stage.api.made("sendMessage")) == 1


def test_a_handler_of_the_host_logs_into_the_open_conversation(stage: Stage) -> None:
    def prepare(application: Any, bot: Any) -> None:
        from telegram.ext import MessageHandler, filters

        async def note(update: Any, _context: Any) -> None:
            await bot.log_message(update, "user", update.effective_message.text, model="gpt-4o-mini")

        application.add_handler(MessageHandler(filters.TEXT, note))

    bot = stage.play(message("one"), message("two"), prepare=prepare)
    [conversation] = bot.conversations.get_user_conversations(BIG_ID)
    assert conversation["message_count"] == 2


# Installing


def test_installing_twice_changes_nothing(stage: Stage, engine: StatefulEngine, app: Flask) -> None:
    application = stage.application()
    first = install(application, engine)
    handlers = {group: list(members) for group, members in application.handlers.items()}
    assert install(application, engine, app=app) is first
    assert application.handlers == handlers


def test_it_must_be_clear_whose_memory_a_bot_has(stage: Stage, make_app: Any) -> None:
    engine = StatefulEngine()
    apps = [make_app(engine=engine), make_app(engine=engine)]
    with pytest.raises(ConfigurationError, match="app=app"):
        install(stage.application(), engine)
    assert install(stage.application(), engine, app=apps[1]).runtime is apps[1].extensions["stateful_engine"]
    with apps[0].app_context():
        assert install(stage.application(), engine).runtime is apps[0].extensions["stateful_engine"]
    with pytest.raises(ConfigurationError, match="init_app"):
        install(stage.application(), engine, app=Flask("another"))


def test_nothing_heavy_is_loaded_before_a_bot_is_installed() -> None:
    heavy = "{'telegram', 'httpx', 'apscheduler', 'matplotlib'}"
    code = f"import sys, stateful_engine.telegram; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("package", "extra"), [("telegram", "telegram"), ("matplotlib", "charts")])
def test_a_missing_extra_is_named(
    stage: Stage, engine: StatefulEngine, monkeypatch: pytest.MonkeyPatch, package: str, extra: str
) -> None:
    application = stage.application()
    monkeypatch.setattr("stateful_engine.telegram.library.find_spec", lambda name: None if name == package else sys)
    with pytest.raises(MissingExtraError, match=rf"pip install 'stateful_engine\[{extra}\]'"):
        install(application, engine, chart=True)


def test_an_old_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stateful_engine.telegram.library.version", lambda name: "20.8")
    with pytest.raises(MissingExtraError, match=r"20\.8 is too old"):
        require_telegram()
