"""A runnable bot with memory: `TELEGRAM_BOT_TOKEN=… python -m stateful_engine.telegram.example_bot`.

Commands: `/demo` sends a signal with buttons, `/signal <id>`, `/dashboard`, `/chatgpt`, `/done`. Environment:
`TELEGRAM_BOT_TOKEN` (required), `TELEGRAM_API_URL` (another Bot API server, default Telegram's), `TELEGRAM_ADMINS`
(user ids that may see `/dashboard`, separated by commas), `TELEGRAM_ALERT_CHATS` (chats that the scanner tells),
`TELEGRAM_ANALYSIS_URL` (where the scanner asks, with `{symbol}` in it; made-up findings without it), and the engine's
settings, for example `FLASK_STATEFUL_DATABASE_URL`. Records are kept in the folder `instance`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import urlopen

from flask import Flask

from stateful_engine import ConfigurationError, StatefulEngine
from stateful_engine.telegram import Answer, ScannerJob, install, tracked
from stateful_engine.telegram.handlers import bot_of
from stateful_engine.telegram.library import require_telegram

if TYPE_CHECKING:
    from telegram import Update

API_URL = "https://api.telegram.org/bot"
SIGNAL = {
    "symbol": "XAUUSD",
    "timeframe": "1H",
    "action": "BUY",
    "confidence": 82.0,
    "entry_price": 2650.0,
    "take_profit": 2680.0,
    "stop_loss": 2635.0,
    "ai_reasoning": "An example, no advice: the price holds above <2640>",
}
CONFIDENCES = {"XAUUSD": 82, "BTCUSD": 64, "ETHUSD": 55}
FETCH_TIMEOUT = 20.0


def main() -> int:
    """Run the bot until it is interrupted; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        engine = StatefulEngine()
        application = build(engine, os.environ)
        asyncio.run(greet(os.environ))
    except ConfigurationError as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 2
    application.run_polling(timeout=10)
    engine.close()
    return 0


def build(engine: StatefulEngine, environment: Any) -> Any:
    """The application, ready to run, with a Flask app of its own for the engine."""
    token = environment.get("TELEGRAM_BOT_TOKEN")
    if not token:
        raise ConfigurationError("the bot has no token; set TELEGRAM_BOT_TOKEN to the one that BotFather gave you")
    require_telegram()
    from telegram.ext import Application, CommandHandler

    app = make_app(engine)
    url = environment.get("TELEGRAM_API_URL", API_URL)
    application = Application.builder().token(token).base_url(url).build()
    admins = numbers(environment, "TELEGRAM_ADMINS")
    chats = listed(environment, "TELEGRAM_ALERT_CHATS")
    fetch = analyses(environment.get("TELEGRAM_ANALYSIS_URL"))
    scanner = ScannerJob(list(CONFIDENCES), fetch, chats, first=1.0) if chats else None
    install(application, engine, app=app, admins=admins or None, reply=echo, scanner=scanner)
    application.add_handler(CommandHandler("demo", send_demo_signal))
    return application


async def greet(environment: Any) -> None:
    """Ask Telegram who this bot is, so that a wrong token is told in one line before anything runs."""
    from telegram import Bot
    from telegram.error import InvalidToken, TelegramError

    try:
        async with Bot(environment["TELEGRAM_BOT_TOKEN"], base_url=environment.get("TELEGRAM_API_URL", API_URL)):
            pass
    except InvalidToken:
        raise ConfigurationError(
            "Telegram does not know this token; set TELEGRAM_BOT_TOKEN to the one that BotFather gave you"
        ) from None
    except TelegramError as error:
        raise ConfigurationError(
            f"Telegram does not answer ({type(error).__name__}); check the connection, or TELEGRAM_API_URL"
        ) from None


def make_app(engine: StatefulEngine) -> Flask:
    """The Flask app whose memory the bot writes to; a web host would pass its own."""
    app = Flask("example_bot", instance_path=str(Path("instance").absolute()))
    app.config.from_prefixed_env()
    engine.init_app(app)
    return app


def listed(environment: Any, name: str) -> list[str]:
    """The words of a variable, separated by commas."""
    return [word.strip() for word in environment.get(name, "").split(",") if word.strip()]


def numbers(environment: Any, name: str) -> list[int]:
    """The whole numbers of a variable, separated by commas."""
    try:
        return [int(word) for word in listed(environment, name)]
    except ValueError:
        raise ConfigurationError(
            f"{name} holds something else than ids; set it to numbers such as 7000000001"
        ) from None


def analyses(url: str | None) -> Callable[[str], Any]:
    """Asks the analysis endpoint at `url` for a symbol; without one gives examples."""

    def fetched(symbol: str) -> Any:
        with urlopen(str(url).replace("{symbol}", quote(symbol, safe="")), timeout=FETCH_TIMEOUT) as answer:
            return json.load(answer)

    return fetched if url else made_up


def made_up(symbol: str) -> dict[str, Any]:
    """An analysis in the form that `ScannerLogger.scan` takes."""
    advice = {"direction": "BUY", "confidence": CONFIDENCES[symbol], "reasoning": "an example, no advice"}
    indicators = {"rsi": 61.0, "adx": 27.5, "atr14": 4.2}
    technical = {"trade_recommendation": advice, "indicators": indicators, "market_regime": "TRENDING"}
    return {"technical_analysis": technical}


@tracked("analysis_request")
async def send_demo_signal(update: Update, context: Any) -> None:
    """Record a new signal and send it with its buttons."""
    bot, chat = bot_of(context.application), update.effective_chat
    if bot is not None and chat is not None:
        await bot.send_signal(chat.id, SIGNAL)


async def echo(history: Any) -> Answer:
    """Where a real bot would ask a model."""
    return Answer(f"Message {len(history)}: {history[-1]['content']}", model="example", usage={"total_tokens": 7})


if __name__ == "__main__":
    sys.exit(main())
