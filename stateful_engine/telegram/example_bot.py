"""A runnable bot with memory: `TELEGRAM_BOT_TOKEN=… python -m stateful_engine.telegram.example_bot`.

Commands: `/demo` sends a signal with buttons, `/signal <id>`, `/dashboard`, `/chatgpt`, `/done`. Environment:
`TELEGRAM_BOT_TOKEN` (required), `TELEGRAM_API_URL` (another Bot API server, default Telegram's), `TELEGRAM_ADMINS`
(user ids that may see `/dashboard`, separated by commas), `TELEGRAM_ALERT_CHATS` (chats that the scanner tells), and
the engine's settings, for example `FLASK_STATEFUL_DATABASE_URL`. Records are kept in the folder `instance`.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
SCANNED = {
    "technical_analysis": {
        "trade_recommendation": {"direction": "BUY", "confidence": 82, "reasoning": "an example, no advice"},
        "indicators": {"rsi": 61.0, "adx": 27.5, "atr14": 4.2},
        "market_regime": "TRENDING",
    }
}


def main() -> int:
    """Run the bot until it is interrupted; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        engine = StatefulEngine()
        application = build(engine, os.environ)
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
    admins = [int(number) for number in listed(environment, "TELEGRAM_ADMINS")]
    chats = listed(environment, "TELEGRAM_ALERT_CHATS")
    scanner = ScannerJob(["XAUUSD"], lambda _symbol: SCANNED, chats, first=1.0) if chats else None
    install(application, engine, app=app, admins=admins or None, reply=echo, scanner=scanner)
    application.add_handler(CommandHandler("demo", send_demo_signal))
    return application


def make_app(engine: StatefulEngine) -> Flask:
    """The Flask app whose memory the bot writes to; a web host would pass its own."""
    app = Flask("example_bot", instance_path=str(Path("instance").absolute()))
    app.config.from_prefixed_env()
    engine.init_app(app)
    return app


def listed(environment: Any, name: str) -> list[str]:
    """The words of a variable, separated by commas."""
    return [word.strip() for word in environment.get(name, "").split(",") if word.strip()]


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
