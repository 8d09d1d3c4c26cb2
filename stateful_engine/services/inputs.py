"""What direct calls may hand over, checked and folded before anything is recorded.

All functions raise `InvalidInputError` with every fault at once; nothing here touches a database.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from stateful_engine.config import REDACTED_KEYS
from stateful_engine.domain import clock
from stateful_engine.domain.redaction import clean_json, clean_text, redact, redact_text
from stateful_engine.domain.symbols import canonical_symbol
from stateful_engine.domain.vocabulary import InteractionSource, InteractionType, Outcome
from stateful_engine.errors import Fault, InvalidInputError

MAX_TEXT = 512
LONGEST_SECRET = 512
"""Characters beyond a cut that are looked at, so that no half of a secret is left before it."""

MAX_DAYS = 36_500
MAX_AMOUNT = 10**9

SOURCE_SPELLINGS = {
    "CHATGPT": InteractionSource.CHAT_GPT,
    "CHAT GPT": InteractionSource.CHAT_GPT,
    "GPT": InteractionSource.CHAT_GPT,
    "OPENAI": InteractionSource.CHAT_GPT,
    "TG": InteractionSource.TELEGRAM,
    "TELEGRAM_BOT": InteractionSource.TELEGRAM,
    "BROWSER": InteractionSource.WEB,
    "DASHBOARD": InteractionSource.WEB,
}


def interaction_type(value: Any) -> str:
    """CLICK, EXECUTE, FEEDBACK, SHARE, VIEW, … in any case."""
    word = str(value).strip().upper()
    if word in InteractionType.__members__:
        return word
    known = ", ".join(InteractionType.__members__)
    raise _invalid("/interaction_type", f"{_short(value)} is no interaction type; use one of {known}")


def interaction_source(value: Any) -> str:
    """TELEGRAM, CHAT_GPT, API, …; usual spellings fold, anything else that is text is UNKNOWN."""
    word = str(value or "").strip().upper().replace("-", "_")
    if word in InteractionSource.__members__:
        return word
    return str(SOURCE_SPELLINGS.get(word, InteractionSource.UNKNOWN))


def outcome(value: Any) -> str:
    """WIN, LOSS, BREAKEVEN, UNFILLED or PENDING in any case; `BE` and `BREAK_EVEN` are BREAKEVEN."""
    word = str(value).strip().upper().replace("-", "_").replace(" ", "_")
    word = {"BE": "BREAKEVEN", "BREAK_EVEN": "BREAKEVEN", "WON": "WIN", "LOST": "LOSS"}.get(word, word)
    if word in Outcome.__members__:
        return word
    known = ", ".join(Outcome.__members__)
    raise _invalid("/outcome", f"{_short(value)} is no outcome; use one of {known}")


def price(value: Any, name: str) -> float:
    """A finite number above zero."""
    number = finite(value, name)
    if number <= 0:
        raise _invalid(f"/{name}", f"{name} must be above 0; send the price that was paid")
    return number


def optional_price(value: Any, name: str) -> float | None:
    """As `price`, None stays None."""
    return None if value is None else price(value, name)


def finite(value: Any, name: str) -> float:
    """A finite number; a text that spells one is accepted, a boolean is not a number."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _invalid(f"/{name}", f"{name} must be a finite number, not {_short(value)}; send a plain number")
    return number


def amount(value: Any, name: str) -> float:
    """A number from 0 to a thousand million, which no single message costs or counts."""
    number = finite(value, name)
    if not 0 <= number <= MAX_AMOUNT:
        raise _invalid(f"/{name}", f"{name} must be from 0 to {MAX_AMOUNT}; send what one message took")
    return number


def optional_finite(value: Any, name: str) -> float | None:
    """As `finite`, None stays None."""
    return None if value is None else finite(value, name)


def optional_level(value: Any, name: str) -> float | None:
    """A price as bots send it: None and 0 mean that there is none, below 0 is refused."""
    number = optional_finite(value, name)
    return None if number is None or number == 0 else price(number, name)


def whole(value: Any, name: str) -> int:
    """A whole number from 0 up that 64 bits can hold."""
    number = finite(value, name)
    if number != int(number) or not 0 <= number < 2**63:
        raise _invalid(
            f"/{name}", f"{name} must be a whole number, not {_short(value)}; send it as it was given to you"
        )
    return value if isinstance(value, int) else int(number)


def person(user_id: Any) -> str:
    """The id of a person as text; numbers of any size are taken."""
    named = text(user_id)
    if named is None:
        raise InvalidInputError(
            "user_id is missing; send the id of the person",
            errors=(Fault("/user_id", "user_id is missing; send the id of the person", "MISSING"),),
        )
    return named


def duration(value: Any, name: str) -> timedelta:
    """Seconds from 0 to a hundred years, as a duration."""
    seconds = finite(value, name)
    if not 0 <= seconds <= MAX_DAYS * 86_400:
        raise _invalid(f"/{name}", f"{name} must be seconds from 0 to a hundred years; send for example 3600")
    return timedelta(seconds=seconds)


def days(value: Any, *, least: int = 0) -> int:
    """A whole number of days from `least` to 36 500 (a hundred years)."""
    number = finite(value, "days")
    if number != int(number) or not least <= number <= MAX_DAYS:
        raise _invalid("/days", f"days must be a whole number from {least} to {MAX_DAYS}; send for example 30")
    return int(number)


def limit(value: Any, *, most: int) -> int:
    """A whole number from 1 to `most`."""
    number = finite(value, "limit")
    if number != int(number) or not 1 <= number <= most:
        raise _invalid("/limit", f"limit must be a whole number from 1 to {most}; page on with the cursor for more")
    return int(number)


def window_start(window_days: int) -> datetime | None:
    """The moment `window_days` days ago; None when the window is 0, which means everything."""
    return clock.now() - timedelta(days=window_days) if window_days else None


def moment(value: Any, name: str) -> datetime | None:
    """An aware UTC time from a datetime, ISO 8601 text or epoch seconds; a time without zone is taken as UTC."""
    if value is None:
        return None
    try:
        parsed = _parse_moment(value)
    except (ValueError, OverflowError, OSError, TypeError):
        raise _invalid(f"/{name}", f"{name} is no time; send ISO 8601, for example 2026-01-31T12:00:00Z") from None
    return parsed.replace(tzinfo=timezone.utc) if parsed.tzinfo is None else parsed.astimezone(timezone.utc)


def _parse_moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, timezone.utc)
    if isinstance(value, str):
        return datetime.fromisoformat(value.strip().replace("Z", "+00:00").replace("z", "+00:00"))
    raise TypeError("no time")


def text(value: Any, *, most: int = MAX_TEXT) -> str | None:
    """Cleaned text of at most `most` characters, without secrets; None and empty become None."""
    if value is None:
        return None
    cleaned, _ = clean_text(_spelled(value)[: most + LONGEST_SECRET])
    return redact_text(cleaned)[:most] or None


def instrument(value: Any) -> str | None:
    """A symbol in its canonical form, or the text that stands where one belongs; None when there is none."""
    named = text(value)
    return canonical_symbol(named) or named


def names(value: Any, name: str) -> list[str]:
    """A list of words; None is an empty one, a single text is no list."""
    if value is None:
        return []
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
        raise _invalid(
            f"/{name}", f"{name} must be a list of names, not {_short(value)}; send for example ['win_rate']"
        )
    return list(value)


def mapping(value: Any, name: str, *, secret_keys: frozenset[str] = REDACTED_KEYS) -> dict[str, Any]:
    """A JSON object, cleaned of what a database refuses and of secrets; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _invalid(f"/{name}", f"{name} must be an object, not {_short(value)}; send key-value pairs")
    cleaned, _ = clean_json({str(key): item for key, item in value.items()})
    return dict(redact(cleaned, secret_keys)) if isinstance(cleaned, Mapping) else {}


def without_secrets(value: Any, name: str) -> Any:
    """A JSON value that is given back as it is, so that a secret in it is refused instead of replaced."""
    cleaned, _ = clean_json(value)
    if redact(cleaned, REDACTED_KEYS) != cleaned:
        raise _invalid(
            f"/{name}", f"{name} holds a key, token or password, which is not stored; name it and look it up instead"
        )
    return cleaned


def require(value: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise one error that lists every missing field."""
    missing = [name for name in names if value.get(name) in (None, "")]
    if missing:
        faults = tuple(Fault(f"/{name}", f"{name} is missing", "MISSING") for name in missing)
        raise InvalidInputError(f"{', '.join(missing)} must be given; add what is missing", errors=faults)


def _invalid(pointer: str, detail: str) -> InvalidInputError:
    return InvalidInputError(detail, errors=(Fault(pointer, detail),))


def _spelled(value: Any) -> str:
    """What is no text as text; raises `InvalidInputError` for what has none."""
    try:
        return str(value)
    except RecursionError:
        raise InvalidInputError("a value is nested too deep to be a text; send plain text") from None


def _short(value: Any) -> str:
    try:
        shown = repr(value)
    except RecursionError:
        shown = type(value).__name__
    return shown if len(shown) <= 40 else shown[:37] + "…"
