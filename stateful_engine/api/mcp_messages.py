"""The messages of MCP: JSON-RPC 2.0 as the two eras of the protocol want it.

Revisions up to 2025-11-25 begin with a handshake (`initialize`) and name their version in a header afterwards; since
2026-07-28 every request says in `_meta` what it speaks, and repeats in headers what proxies route by. Neither needs a
session here. Source: the specification at modelcontextprotocol.io, revisions 2024-11-05 to 2026-07-28.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

HANDSHAKE_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS_VERSIONS = ("2026-07-28",)
SUPPORTED_VERSIONS = (*STATELESS_VERSIONS, *reversed(HANDSHAKE_VERSIONS))
BATCH_VERSION = "2025-03-26"
"""The one revision with batches, and what a request without a version header speaks."""

VERSION_HEADER = "MCP-Protocol-Version"
METHOD_HEADER = "Mcp-Method"
NAME_HEADER = "Mcp-Name"
ROUTING_HEADERS = (VERSION_HEADER, METHOD_HEADER, NAME_HEADER)
OWN_META = "io.modelcontextprotocol/"
VERSION_KEY = OWN_META + "protocolVersion"
CAPABILITIES_KEY = OWN_META + "clientCapabilities"

_ENCODED = re.compile(r"=\?base64\?(.*)\?=")


class Code(IntEnum):
    """What went wrong with a message, by the numbers of JSON-RPC and of MCP."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    HEADER_MISMATCH = -32020
    UNSUPPORTED_VERSION = -32022


_STATUSES = {Code.METHOD_NOT_FOUND: 404, Code.INTERNAL_ERROR: 500}


class RpcError(Exception):
    """A message that gets an error instead of a result; `code` is a `Code`, or the HTTP status of an error of ours."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        data: Any = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = int(code)
        self.message = message
        self.data = data
        self.status = status or _STATUSES.get(code, 400)  # type: ignore[call-overload]
        self.headers = dict(headers or {})

    def body(self, message_id: Any = None) -> dict[str, Any]:
        """The error as an answer to the message with this id; null where it could not be read."""
        error = {"code": self.code, "message": self.message} | ({} if self.data is None else {"data": self.data})
        return {"jsonrpc": "2.0", "id": message_id, "error": error}


@dataclass(frozen=True, slots=True)
class Message:
    """One request or notification; a notification has no id."""

    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    id: str | int | None = None

    @property
    def is_notification(self) -> bool:
        """Whether nobody waits for an answer."""
        return self.id is None

    @property
    def meta(self) -> Mapping[str, Any]:
        """What the caller says about the call itself."""
        meta = self.params.get("_meta")
        return meta if isinstance(meta, Mapping) else {}

    @classmethod
    def of(cls, value: Any) -> Message:
        """Read a JSON value; raises `RpcError` for what is no request and no notification."""
        if not isinstance(value, dict) or value.get("jsonrpc") != "2.0" or not isinstance(value.get("method"), str):
            raise RpcError(Code.INVALID_REQUEST, 'send one JSON-RPC 2.0 request: {"jsonrpc": "2.0", "id": 1, …}')
        message_id = value.get("id")
        if "id" in value and (isinstance(message_id, bool) or not isinstance(message_id, (str, int))):
            raise RpcError(Code.INVALID_REQUEST, "the id of a request must be a text or a whole number")
        params = value.get("params", {})
        if not isinstance(params, dict):
            raise RpcError(Code.INVALID_PARAMS, "params must be an object")
        return cls(value["method"], params, message_id)


def is_response(value: Any) -> bool:
    """Whether this answers a request of a server; we make none, and drop it."""
    return isinstance(value, dict) and "method" not in value and ("result" in value or "error" in value)


def id_of(value: Any) -> Any:
    """The id to which an error about `value` belongs."""
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, (str, int)) and not isinstance(found, bool) else None


def version_of(message: Message, header: str | None, *, headers: Mapping[str, str] | None) -> str:
    """The revision that a message speaks; raises `RpcError` for one that is not known or contradicts itself.

    `header` is what the transport says about the version; `headers` are those of HTTP, None where there are none.
    """
    declared = message.meta.get(VERSION_KEY)
    if declared is None and (header is None or header in HANDSHAKE_VERSIONS or message.method == "initialize"):
        return header if header in HANDSHAKE_VERSIONS else BATCH_VERSION
    if message.is_notification or (declared is None and header not in STATELESS_VERSIONS):
        return _supported(header if declared is None else declared)
    _check_envelope(message)
    if headers is not None:
        _check_headers(message, declared, headers)
    return _supported(declared)


def _supported(version: Any) -> str:
    if not isinstance(version, str):
        raise RpcError(Code.INVALID_PARAMS, f"{VERSION_KEY} must be a text such as {STATELESS_VERSIONS[0]}")
    if version not in STATELESS_VERSIONS:
        data = {"supported": list(SUPPORTED_VERSIONS), "requested": version[:64]}
        raise RpcError(Code.UNSUPPORTED_VERSION, "Unsupported protocol version", data=data)
    return version


def _check_envelope(message: Message) -> None:
    missing = [key for key in (VERSION_KEY, CAPABILITIES_KEY) if key not in message.meta]
    if missing:
        raise RpcError(Code.INVALID_PARAMS, f"params._meta must be an object with {' and '.join(missing)}")


def _check_headers(message: Message, declared: Any, headers: Mapping[str, str]) -> None:
    """What the headers say must be what the body says, or a proxy would route by something else than we do."""
    expected = {VERSION_HEADER: declared, METHOD_HEADER: message.method}
    if message.method == "tools/call" and "name" in message.params:
        expected[NAME_HEADER] = message.params["name"]
    for name, value in expected.items():
        given = headers.get(name)
        if (_decoded(given) if name == NAME_HEADER else given) != value:
            raise RpcError(Code.HEADER_MISMATCH, f"the header {name} must say what the body says")


def _decoded(value: str | None) -> str | None:
    """A header value, out of the Base64 form that the protocol has for names beyond ASCII."""
    found = _ENCODED.fullmatch(value or "")
    if found is None:
        return value
    try:
        return base64.b64decode(found[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
