"""Who is really calling: Telegram's webhook, and the Mini App of a person. Standard library only."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl

from stateful_engine.domain import clock
from stateful_engine.errors import AuthenticationError, ConfigurationError

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"
MAX_AGE = timedelta(days=1)
CLOCKS_DIFFER = timedelta(minutes=5)
MAX_INIT_DATA = 16 * 2**10


@dataclass(frozen=True, slots=True)
class InitData:
    """What a Mini App says about itself, once it is known that Telegram signed it."""

    user_id: int | None
    user: Mapping[str, Any]
    auth_date: datetime
    fields: Mapping[str, str]
    """All fields as they were sent, the hash excepted."""


def check_webhook_secret(headers: Mapping[str, str], secret: str) -> bool:
    """Whether a webhook call carries the `secret_token` that was given to `setWebhook`, in constant time.

    >>> if not check_webhook_secret(request.headers, secret):
    ...     abort(401)
    """
    if not secret:
        raise ConfigurationError("the webhook secret is empty; give the secret_token that setWebhook was called with")
    wanted = SECRET_HEADER.lower()
    given = next((value for name, value in headers.items() if name.lower() == wanted), "")
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def check_init_data(init_data: str, bot_token: str, *, max_age: timedelta = MAX_AGE) -> InitData:
    """Read `Telegram.WebApp.initData`; raises `AuthenticationError` when Telegram did not sign it for this bot.

    The signature is HMAC-SHA256 over the sorted fields, with HMAC-SHA256(key="WebAppData", bot token) as its key
    (https://core.telegram.org/bots/webapps, "Validating data received via the Mini App").
    """
    if not bot_token:
        raise ConfigurationError("the bot token is empty; give the token that BotFather gave you")
    fields = _fields(init_data)
    given = fields.pop("hash", "")
    if not hmac.compare_digest(given.encode(), _signature(fields, bot_token).encode()):
        raise _refused("its signature is not Telegram's for this bot")
    return InitData(*_user(fields), _fresh(fields, max_age), fields)


def _fields(init_data: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(init_data, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise _refused("it is no query string") from None
    fields = dict(pairs)
    if len(init_data) > MAX_INIT_DATA or len(fields) != len(pairs) or "hash" not in fields:
        raise _refused("it is too long, names a field twice, or has no hash")
    return fields


def _signature(fields: Mapping[str, str], bot_token: str) -> str:
    key = hmac.new(b"WebAppData", bot_token.encode(), hashlib.sha256).digest()
    text = "\n".join(f"{name}={fields[name]}" for name in sorted(fields))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _fresh(fields: Mapping[str, str], max_age: timedelta) -> datetime:
    try:
        signed = datetime.fromtimestamp(int(fields.get("auth_date", "")), timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise _refused("it has no time") from None
    if not -CLOCKS_DIFFER <= clock.now() - signed <= max_age:
        raise _refused("it is too old, or from the future")
    return signed


def _user(fields: Mapping[str, str]) -> tuple[int | None, dict[str, Any]]:
    try:
        user = json.loads(fields.get("user", "{}"))
    except ValueError:
        raise _refused("its user is no JSON") from None
    if not isinstance(user, dict):
        raise _refused("its user is no object")
    number = user.get("id")
    return (number if isinstance(number, int) else None), user


def _refused(why: str) -> AuthenticationError:
    return AuthenticationError(f"the Mini App's initData is refused: {why}; open the Mini App from Telegram again")
