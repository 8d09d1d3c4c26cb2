"""python-telegram-bot and matplotlib are extras: they are looked for when a bot is installed, never at import."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec

from stateful_engine.errors import MissingExtraError

LEAST_VERSION = 21


def require_telegram() -> None:
    """Raise `MissingExtraError` where python-telegram-bot 21 or newer is not installed."""
    if find_spec("telegram") is None or find_spec("telegram.ext") is None:
        raise MissingExtraError(
            "a bot needs python-telegram-bot; install the extra: pip install 'stateful_engine[telegram]'"
        )
    found = version("python-telegram-bot")
    if int(found.partition(".")[0]) < LEAST_VERSION:
        raise MissingExtraError(
            f"python-telegram-bot {found} is too old; upgrade: pip install -U 'stateful_engine[telegram]'"
        )


def has_charts() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def require_charts() -> None:
    """Raise `MissingExtraError` where matplotlib is not installed."""
    if not has_charts():
        raise MissingExtraError("charts need matplotlib; install the extra: pip install 'stateful_engine[charts]'")
