"""Every `STATEFUL_*` key: its type, default and check, in one place.

Keys come from `app.config`, and from the environment through the host's own `app.config.from_prefixed_env()`
(`FLASK_STATEFUL_AUTH=none`). Values that arrive as text are converted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stateful_engine.domain.link_targets import is_rule
from stateful_engine.domain.pricing import Price, prices_of
from stateful_engine.errors import ConfigurationError
from stateful_engine.logging import logger

PREFIX = "STATEFUL_"

REDACTED_KEYS = frozenset(
    """
    access_key access_token api_hash api_key api_secret apikey auth authorization bearer bot_token client_secret
    cookie credential credentials init_data initdata jwt key_secret mnemonic passphrase passwd password pin
    private_key pwd refresh_token secret secret_key seed_phrase session_token set-cookie signature token
    webhook_secret x-api-key x-telegram-bot-api-secret-token
    """.split()
)
"""Parameter, header and JSON keys whose values are never kept; compared in lower case, `-` and `_` alike."""

RETENTION_TABLES = frozenset(
    """
    signal_history gpt_query_log user_interaction chatgpt_conversations ai_recommendations signal_scanner_results
    user_actions trade_events webhook_deliveries
    """.split()
)

LEAST_KEY_LENGTH = 32

LINK_LIFETIME = timedelta(days=30)
"""How long a signed click link leads on, unless its maker says otherwise."""

REDIS_SCHEMES = ("redis", "rediss", "unix")
AUTH_MODES = ("auto", "none", "api_key")

_UNITS = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}

AuthSetting = str | Callable[..., Any]
CandlesSetting = Path | Callable[..., Any]
PrivacySetting = str | Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of one app, checked and converted; attribute `x` is the key `STATEFUL_X`."""

    # Whether anything happens at all, and where our tables live.
    enabled: bool = True
    database_url: str | None = field(default=None, repr=False)
    bind_key: str | None = None
    auto_migrate: bool | None = None
    schema: str = "stateful_engine"

    # Helpers on other machines.
    redis_url: str | None = field(default=None, repr=False)
    stream_url: str | None = field(default=None, repr=False)

    # The local durable buffer.
    spool_dir: Path = Path("instance/stateful_spool")
    spool_max_bytes: int = 2**30
    flush_interval: float = 0.2
    effect_wait: float = 2.0

    # The doors.
    public_url: str | None = None
    url_prefix: str = "/api/gpts/state"
    dashboard: bool = False
    dashboard_prefix: str = "/state"
    auth: AuthSetting = "auto"
    link_targets: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ("https://chatgpt.com", "https://chat.openai.com")
    rate_limit: str = "120/minute"
    max_body_bytes: int = 2**20
    webhook_allow_private: bool = False
    read_timeout: float = 30.0
    privacy_text: PrivacySetting | None = None

    # What is recorded.
    inject_ids: bool = True
    capture_response: bool = True
    capture_response_max_bytes: int = 64 * 2**10
    redact: frozenset[str] = REDACTED_KEYS
    retention_days: dict[str, int] = field(default_factory=dict)
    hash_user_ids: bool = False
    hash_key: str | None = field(default=None, repr=False)
    store_ip: bool = True

    # What is computed.
    cache_seconds: int = 300
    candles: CandlesSetting | None = None
    prices: dict[str, Price] = field(default_factory=dict)

    # Given by the app, not by a key.
    instance_path: Path = Path("instance")

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any], *, instance_path: str | Path, debug: bool = False) -> Settings:
        """Read all `STATEFUL_` keys of `config`; warns about unknown ones, raises `ConfigurationError` for bad ones."""
        instance = Path(instance_path)
        values: dict[str, Any] = {
            "instance_path": instance,
            "spool_dir": instance / "stateful_spool",
            "dashboard": debug,
        }
        for key, raw in config.items():
            if not key.startswith(PREFIX):
                continue
            name = key[len(PREFIX) :].lower()
            if name not in _READERS:
                _warn_unknown(key)
            elif raw is not None:
                values[name] = _read(key, name, raw)
        return cls(**values)


def _read(key: str, name: str, raw: Any) -> Any:
    try:
        return _READERS[name](raw)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{key} cannot be {_shown(name, raw)}: {error}") from None


def _shown(name: str, raw: Any) -> str:
    """The value as an error may show it: URLs can carry passwords, and neither they nor keys are repeated."""
    return "what it is set to" if name.endswith("_url") or name == "hash_key" else repr(raw)


def _warn_unknown(key: str) -> None:
    known = [PREFIX + name.upper() for name in _READERS]
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known keys: {', '.join(sorted(known))}"
    logger.warning("unknown setting %s is ignored; %s", key, hint)


def _boolean(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError("set it to true or false")


def _text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError("set it to a non-empty text")
    return raw.strip()


def _secret_key(raw: Any) -> str:
    key = _text(raw)
    if len(key) < LEAST_KEY_LENGTH:
        raise ValueError(f"set it to at least {LEAST_KEY_LENGTH} random characters, the same on every machine")
    return key


def _number(raw: Any, *, least: float) -> float:
    value = float(raw)
    if isinstance(raw, bool) or not least <= value < float("inf"):
        raise ValueError(f"set it to a number of at least {least:g}")
    return value


def _seconds(raw: Any) -> float:
    return _number(raw, least=0)


def _flush_seconds(raw: Any) -> float:
    return _number(raw, least=0.001)


def _whole_seconds(raw: Any) -> int:
    return int(_number(raw, least=0))


def _bytes(raw: Any) -> int:
    """A size in bytes, as a number or with a unit (`"64 KiB"`, `"1GiB"`)."""
    if isinstance(raw, str):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", raw)
        if match is None or match[2].upper() not in _UNITS:
            raise ValueError('set it to a number of bytes, for example 65536 or "64 KiB"')
        raw = float(match[1]) * _UNITS[match[2].upper()]
    return int(_number(raw, least=1))


def _url_prefix(raw: Any) -> str:
    """One slash in front, none behind; the root alone would swallow the host's own URLs."""
    path = "/" + _text(raw).strip("/")
    if path == "/" or not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
        raise ValueError("set it to a path of its own, for example /api/gpts/state")
    return path


def _public_url(raw: Any) -> str:
    url = _text(raw).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("set it to the full https address under which this app is reached")
    return url


def _redis_url(raw: Any) -> str:
    url = _text(raw)
    parts = urlsplit(url)
    if parts.scheme not in REDIS_SCHEMES or not (parts.hostname or parts.path):
        raise ValueError(f"set it to an address that begins with {'://, '.join(REDIS_SCHEMES)}://")
    return url


def _schema(raw: Any) -> str:
    name = _text(raw)
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
        raise ValueError("set it to a plain lower-case PostgreSQL name, for example stateful_engine")
    return name


def _auth(raw: Any) -> AuthSetting:
    if callable(raw):
        setting: Callable[..., Any] = raw
        return setting
    word = _text(raw).lower()
    if word not in AUTH_MODES:
        raise ValueError("set it to auto, none or api_key, or to a callable that takes the request")
    return word


def _privacy_text(raw: Any) -> PrivacySetting:
    if callable(raw):
        setting: Callable[[], Any] = raw
        return setting
    return _text(raw)


def _candles(raw: Any) -> CandlesSetting:
    """A folder, or a function `fetch(symbol, timeframe, start, end)`."""
    if callable(raw):
        fetch: Callable[..., Any] = raw
        return fetch
    return Path(raw)


def _origins(raw: Any) -> tuple[str, ...]:
    items = raw.split(",") if isinstance(raw, str) else list(raw)
    return tuple(_text(item).rstrip("/") for item in items if str(item).strip())


def _link_targets(raw: Any) -> tuple[str, ...]:
    """Hosts, or beginnings of addresses; a host that is spelled in capitals is the same host."""
    rules = tuple(rule if "://" in rule else rule.lower() for rule in _origins(raw))
    if not all(is_rule(rule) for rule in rules):
        raise ValueError("set it to hosts or beginnings of addresses, for example example.com, https://example.org/app")
    return rules


def _rate_limit(raw: Any) -> str:
    text = _text(raw)
    if not re.fullmatch(r"[0-9]+\s*(/|per)\s*[0-9]*\s*(second|minute|hour|day|month|year)s?", text.lower()):
        raise ValueError('set it to a rate such as "120/minute"')
    return text


def _redact(raw: Any) -> frozenset[str]:
    """The host's keys are added to the default list: a list that is given never weakens it."""
    items = raw.split(",") if isinstance(raw, str) else list(raw)
    return REDACTED_KEYS | {str(item).strip().lower() for item in items if str(item).strip()}


def _retention(raw: Any) -> dict[str, int]:
    """Days per table; one number stands for all tables."""
    if not isinstance(raw, Mapping):
        return dict.fromkeys(sorted(RETENTION_TABLES), _days(raw))
    unknown = set(raw) - RETENTION_TABLES
    if unknown:
        raise ValueError(f"no table is called {sorted(unknown)[0]!r}; tables: {', '.join(sorted(RETENTION_TABLES))}")
    return {str(table): _days(days) for table, days in raw.items()}


def _days(raw: Any) -> int:
    return int(_number(raw, least=1))


_READERS: dict[str, Callable[[Any], Any]] = {
    "enabled": _boolean,
    "database_url": _text,
    "bind_key": _text,
    "auto_migrate": _boolean,
    "schema": _schema,
    "redis_url": _redis_url,
    "stream_url": _redis_url,
    "spool_dir": Path,
    "spool_max_bytes": _bytes,
    "flush_interval": _flush_seconds,
    "effect_wait": _seconds,
    "public_url": _public_url,
    "url_prefix": _url_prefix,
    "dashboard": _boolean,
    "dashboard_prefix": _url_prefix,
    "auth": _auth,
    "link_targets": _link_targets,
    "cors_origins": _origins,
    "rate_limit": _rate_limit,
    "max_body_bytes": _bytes,
    "webhook_allow_private": _boolean,
    "read_timeout": _seconds,
    "privacy_text": _privacy_text,
    "inject_ids": _boolean,
    "capture_response": _boolean,
    "capture_response_max_bytes": _bytes,
    "redact": _redact,
    "retention_days": _retention,
    "hash_user_ids": _boolean,
    "hash_key": _secret_key,
    "store_ip": _boolean,
    "cache_seconds": _whole_seconds,
    "candles": _candles,
    "prices": prices_of,
}
_UNREAD = {item.name for item in fields(Settings)} - set(_READERS) - {"instance_path"}
if _UNREAD:
    raise RuntimeError(f"settings without a reader: {sorted(_UNREAD)}")
