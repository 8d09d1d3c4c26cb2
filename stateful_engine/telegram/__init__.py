"""The door for Telegram bots: `install(application, engine)`; needs the extra `telegram`, loaded on use."""

from __future__ import annotations

from stateful_engine.telegram.bot import StatefulBot
from stateful_engine.telegram.charts import performance_chart
from stateful_engine.telegram.handlers import Press, tracked
from stateful_engine.telegram.install import install
from stateful_engine.telegram.messages import button, signal_buttons, signal_message, split
from stateful_engine.telegram.scanning import ScannerJob
from stateful_engine.telegram.security import InitData, check_init_data, check_webhook_secret
from stateful_engine.telegram.talks import Answer

__all__ = [
    "Answer",
    "InitData",
    "Press",
    "ScannerJob",
    "StatefulBot",
    "button",
    "check_init_data",
    "check_webhook_secret",
    "install",
    "performance_chart",
    "signal_buttons",
    "signal_message",
    "split",
    "tracked",
]
