"""What a request says about its caller, read in the door and passed on as plain values.

Nothing here is guessed: a model, a token count or a person that nobody named stays None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import orjson
from werkzeug.exceptions import HTTPException

from stateful_engine.domain.recent import Recent
from stateful_engine.domain.redaction import is_secret, redact, redact_text
from stateful_engine.domain.vocabulary import InteractionSource
from stateful_engine.installation import people_of

if TYPE_CHECKING:
    from flask import Request

    from stateful_engine.config import Settings

MAX_AGENT_LENGTH = 512
MAX_HEADER_LENGTH = 256
MAX_PARAMS_BYTES = 64 * 2**10
MAX_LIST_ITEMS = 20
MAX_DEPTH = 32
KNOWN_QUERIES = 1000
MAX_KNOWN_QUERY = 256
SHORT = 20
"""A plain word below this length is no key, no token and no address: `BTCUSDT` needs no search for secrets."""


_IDENTIFIER = re.compile(r"[0-9a-f-]*")
"""UUIDs and trace contexts, which need no search for secrets."""

_IDENTIFYING = (
    "QUERY_STRING",
    "HTTP_USER_AGENT",
    "HTTP_REFERER",
    "HTTP_X_SESSION_ID",
    "HTTP_OPENAI_CONVERSATION_ID",
    "HTTP_OPENAI_EPHEMERAL_USER_ID",
    "HTTP_OPENAI_GPT_ID",
)
_SENTENCES_IN_ORDER = ("user_query", "query", "prompt", "question", "message")
_SENTENCES = frozenset(_SENTENCES_IN_ORDER)
_API = InteractionSource.API.value
_AGENTS: tuple[tuple[str, str], ...] = (
    ("ChatGPT-User", InteractionSource.CHAT_GPT.value),
    ("OAI-SearchBot", InteractionSource.CHAT_GPT.value),
    ("TelegramBot", InteractionSource.TELEGRAM.value),
    ("openai-mcp", InteractionSource.MCP.value),
    ("Mozilla/", InteractionSource.WEB.value),
)
_PLAIN = (str, int, float, bool, type(None))
_PRINTABLE = (UUID, date, Decimal)


class RequestInfo(NamedTuple):
    """One request as plain values that may outlive it; texts are cut and `params` are already redacted.

    `lookup` holds the same parameters flat and unredacted (path, query, JSON body), for finding the symbol and the
    timeframe a signal is about; it is never stored. `source` is a word of `InteractionSource`.
    """

    endpoint: str
    method: str
    params: dict[str, Any]
    lookup: dict[str, Any]
    user_query: str | None
    user_agent: str | None
    remote_addr: str | None
    session_id: str | None
    referer: str | None
    conversation_ref: str | None
    user_ref: str | None
    gpt_id: str | None
    request_id: str | None
    source: str

    @classmethod
    def from_request(cls, request: Request, settings: Settings, *, may_read: bool = True) -> RequestInfo:
        """Read `request`; its body only when it is JSON of at most 64 KiB, and only through the cache Flask keeps.

        A stream that the host has taken hold of is the host's; without `may_read` so is one that it may still want.
        """
        header = request.environ.get
        rule = request.url_rule
        lookup, params = _parameters(request, settings.redact, may_read=may_read)
        if settings.hash_user_ids:
            params = people_of(settings).in_json(params)
        agent = _clean(header("HTTP_USER_AGENT", "")[:MAX_AGENT_LENGTH]) or None
        referer = header("HTTP_REFERER", "")[:MAX_AGENT_LENGTH] or None
        user = _short(header("HTTP_OPENAI_EPHEMERAL_USER_ID"))
        if user is not None and settings.hash_user_ids:
            user = people_of(settings).of(user)
        return cls(
            request.path if rule is None else rule.rule,
            request.method,
            params,
            lookup,
            None if _SENTENCES.isdisjoint(params) else _sentence(params),
            agent,
            request.remote_addr if settings.store_ip else None,
            _short(header("HTTP_X_SESSION_ID")) or _session_of(lookup),
            referer and redact_text(referer),
            _short(header("HTTP_OPENAI_CONVERSATION_ID")),
            user,
            _short(header("HTTP_OPENAI_GPT_ID")),
            request_id_of(request),
            _API if agent is None else source_of(agent),
        )

    @classmethod
    def outside(cls, endpoint: str, method: str = "CALL") -> RequestInfo:
        """What is known of a call that no request made: a job of a scheduler, a function of the host."""
        return cls(endpoint, method, {}, {}, None, None, None, None, None, None, None, None, None, _API)

    def calling(self, tool: str, arguments: dict[str, Any], meta: Mapping[str, Any], settings: Settings) -> RequestInfo:
        """The same caller with a tool of MCP; who asks in which conversation is what `_meta` says about it."""
        params = _storable(arguments, settings.redact)
        user = _told(meta, "openai/subject")
        if settings.hash_user_ids:
            params = people_of(settings).in_json(params)
            user = user and people_of(settings).of(user)
        return self._replace(
            endpoint=f"mcp:{tool}",
            method="MCP",
            params=params,
            lookup=arguments,
            user_query=_sentence(params),
            conversation_ref=_told(meta, "openai/session") or self.conversation_ref,
            user_ref=user or self.user_ref,
            request_id=self.request_id or _told(meta, "traceparent"),
            source=InteractionSource.MCP.value,
        )

    @property
    def attribution(self) -> dict[str, str]:
        """What is known about the caller, by the columns of the query log."""
        known = {
            "user_agent": self.user_agent,
            "ip_address": self.remote_addr,
            "session_id": self.session_id,
            "referer": self.referer,
            "conversation_ref": self.conversation_ref,
            "user_ref": self.user_ref,
            "gpt_id": self.gpt_id,
            "request_id": self.request_id,
        }
        return {name: value for name, value in known.items() if value is not None}


def request_id_of(request: Request) -> str | None:
    """The id that a caller or a proxy gave to this one request."""
    header = request.environ.get
    given = header("HTTP_X_REQUEST_ID") or header("HTTP_TRACEPARENT")
    return _short(given) if given else None


def identity_of(request: Request) -> tuple[str | None, ...] | None:
    """All that `RequestInfo` says depends on, but for `request_id`; None when that is more than a line and headers."""
    header = request.environ.get
    rule, placed = request.url_rule, request.view_args
    if rule is None or header("CONTENT_LENGTH"):
        return None
    if placed and not all(type(value) is str for value in placed.values()):
        return None
    own = (rule.rule, request.method, request.remote_addr, *map(header, _IDENTIFYING))
    return (*own, *placed, *placed.values()) if placed else own


def _told(meta: Mapping[str, Any], name: str) -> str | None:
    """A text of the metadata of a message, cut."""
    value = meta.get(name)
    return _short(value) if isinstance(value, str) else None


@lru_cache(maxsize=4096)
def _clean(text: str) -> str:
    """A header without secrets; agents, conversations and people come again and again."""
    return redact_text(text)


def _short(value: str | None) -> str | None:
    """A header as it is kept: cut, without secrets; None when it is not there or empty."""
    if not value:
        return None
    kept = value[:MAX_HEADER_LENGTH]
    return kept if _IDENTIFIER.fullmatch(kept) else _clean(kept)


@lru_cache(maxsize=256)
def source_of(agent: str | None) -> str:
    """The word of `InteractionSource` for a user agent; `API` for every agent that names no known door."""
    if agent:
        for mark, source in _AGENTS:
            if mark in agent:
                return source
    return _API


def _session_of(lookup: Mapping[str, Any]) -> str | None:
    session = lookup.get("session_id")
    return _short(session) if isinstance(session, str) else None


def _sentence(params: Mapping[str, Any]) -> str | None:
    """What the user typed, where a parameter holds it as text."""
    said = (params.get(name) for name in _SENTENCES_IN_ORDER)
    return next((text for text in said if isinstance(text, str) and text), None)


def _parameters(request: Request, keys: frozenset[str], *, may_read: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Path, query and JSON parameters, as they are and as they may be stored; both are for reading only.

    The later kinds win, as the caller wrote them last.
    """
    environ = request.environ
    query = environ.get("QUERY_STRING")
    if query and not request.view_args and not environ.get("CONTENT_LENGTH"):
        return _of_query_alone(query, request, keys)
    params: dict[str, Any] = {}
    if request.view_args:
        params.update(_path_parameters(request.view_args))
    if query:
        params.update(_query_parameters(query, request))
    if environ.get("CONTENT_LENGTH"):
        body = _json_body(request, may_read=may_read)
        if isinstance(body, dict):
            params.update(body)
        elif body is not None:
            params["body"] = body
    return params, _storable(params, keys)


_harmless: Recent[tuple[str, frozenset[str]], dict[str, Any]] = Recent(KNOWN_QUERIES)
"""Parameters by the query string that they were read from, where nothing in them had to be redacted."""


def _of_query_alone(query: str, request: Request, keys: frozenset[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same few questions are asked over and over: read each once, but never keep one that holds a secret."""
    known = _harmless.get((query, keys))
    if known is not None:
        return known, known
    params = _query_parameters(query, request)
    storable = _storable(params, keys)
    if params == storable and len(query) <= MAX_KNOWN_QUERY:
        _harmless.keep((query, keys), params)
    return params, storable


def _path_parameters(view_args: Mapping[str, Any]) -> dict[str, Any]:
    """Values of simple converters; what a host's own converter loaded (a row, say) is left alone."""
    params: dict[str, Any] = {}
    for name, value in view_args.items():
        if isinstance(value, _PLAIN):
            params[name] = value
        elif isinstance(value, _PRINTABLE):
            params[name] = str(value)
    return params


def _query_parameters(query: str, request: Request) -> dict[str, Any]:
    """One value or the list of them by name; a plain query is split here, several times faster than Werkzeug does."""
    if "%" in query or "+" in query or not query.isascii():
        return {name: values[0] if len(values) == 1 else values for name, values in _arguments(request)}
    params: dict[str, Any] = {}
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            params[name] = _together(params[name], value) if name in params else value
    return params


def _arguments(request: Request) -> list[tuple[str, list[str]]]:
    """What Werkzeug reads in the query; nothing where raw bytes in it are no UTF-8, which a view cannot read either."""
    try:
        return list(request.args.lists())
    except UnicodeDecodeError:
        return []


def _together(earlier: Any, value: str) -> list[str]:
    return [*earlier, value] if isinstance(earlier, list) else [earlier, value]


def _json_body(request: Request, *, may_read: bool) -> Any:
    """The JSON that the caller sent, parsed anew so that a view which changed its copy changed nothing here."""
    length = request.content_length
    if not length or length > MAX_PARAMS_BYTES or not request.is_json:
        return None
    if getattr(request, "_cached_data", None) is None and ("stream" in vars(request) or not may_read):
        return None
    try:
        return orjson.loads(request.get_data())
    except (orjson.JSONDecodeError, HTTPException, OSError):
        return None


def _storable(params: dict[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    """`params` as they may reach the disk: secrets replaced, long lists named by their length."""
    shown: dict[str, Any] = {}
    for name, value in params.items():
        is_plain = isinstance(value, str) and len(value) < SHORT and value.isalnum() and len(name) < SHORT
        if is_plain and not is_secret(name, keys):
            shown[name] = value
        else:
            shown.update(redact({name: shortened(value)}, keys))
    return shown


def shortened(value: Any, *, depth: int = 0) -> Any:
    """`value` with each list of more than 20 items replaced by a text such as `[120 items]`, cut below 32 levels."""
    if not isinstance(value, (list, dict)):
        return value
    if depth >= MAX_DEPTH:
        return "[nested]"
    if isinstance(value, dict):
        return {
            name: item if isinstance(item, str) else shortened(item, depth=depth + 1) for name, item in value.items()
        }
    if len(value) > MAX_LIST_ITEMS:
        return f"[{len(value)} items]"
    return [shortened(item, depth=depth + 1) for item in value]
