"""The MCP door: `POST /mcp` below the prefix, and the same by lines of text for `flask stateful mcp`.

Nothing is kept between two messages, so any process may answer any of them. A caller is let in as everywhere in the
API, sees the tools that its scopes allow, and each of its calls is a query of the log (`endpoint="mcp:<tool>"`). What
goes wrong inside a tool is told to the model as the tool's result; JSON-RPC errors are for what no tool was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import request

from stateful_engine.access import Principal, authorize
from stateful_engine.api import bodies, connector, envelope
from stateful_engine.api.contract import Operation, Reply
from stateful_engine.api.failures import MethodNotAllowedError, headers_of
from stateful_engine.api.mcp_messages import (
    BATCH_VERSION,
    HANDSHAKE_VERSIONS,
    OWN_META,
    ROUTING_HEADERS,
    STATELESS_VERSIONS,
    SUPPORTED_VERSIONS,
    VERSION_HEADER,
    VERSION_KEY,
    Code,
    Message,
    RpcError,
    id_of,
    is_response,
    version_of,
)
from stateful_engine.api.mcp_tools import Tool, flat_fault, read_call, tools_of
from stateful_engine.api.performing import perform, refuse_writes_when_disabled
from stateful_engine.api.schemas import API_VERSION
from stateful_engine.domain import clock, identifiers
from stateful_engine.domain.redaction import redact_text
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.errors import (
    MalformedRequestError,
    PayloadTooLargeError,
    PermissionDeniedError,
    StatefulEngineError,
)
from stateful_engine.recording.records import Call as RecordedCall
from stateful_engine.request_info import RequestInfo

if TYPE_CHECKING:
    from flask import Flask, Response

    from stateful_engine.api.door import Door
    from stateful_engine.config import Settings
    from stateful_engine.extension import Runtime

PATH = "/mcp"
MOST_IN_BATCH = 20
METHODS = ("POST", "OPTIONS")
TTL_MS = 300_000
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SERVER = {"name": "stateful_engine", "title": "Memory of trading signals", "version": API_VERSION}
INSTRUCTIONS = (
    "What this app advised, what people did with it and how it ended. Use search and fetch to find signals, the "
    "get… tools for lists and reports. Rates carry their n and an interval; what is not known is null."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends messages, and what the transport says about them; `headers` are None where there are none."""

    principal: Principal
    version: str | None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool answered, or why it did not."""

    status: int
    body: Any
    text: bytes
    error: StatefulEngineError | None = None

    def result(self) -> dict[str, Any]:
        """The outcome as the result of `tools/call`."""
        structured = {"structuredContent": self.body} if self.error is None else {}
        content = [{"type": "text", "text": self.text.decode()}]
        return {"content": content, **structured, "isError": self.error is not None}


class Mcp:
    """Answers the messages of MCP for one app."""

    def __init__(self, app: Flask, runtime: Runtime, operations: tuple[Operation, ...]) -> None:
        self._app = app
        self._runtime = runtime
        self._operations = (*connector.OPERATIONS, *operations)

    # By HTTP

    def respond(self, door: Door) -> Response:
        """The response to the current request."""
        envelope.timing()
        if request.method == "OPTIONS":
            return _response(None, 204, {"Allow": ", ".join(METHODS)})
        if request.method != "POST":
            raise MethodNotAllowedError(request.method, METHODS)
        try:
            _check_origin(self._runtime.settings)
            principal = door.admit(request, None)
            value = self._read()
            return self._answered(value, _caller(principal), door)
        except RpcError as error:
            return _response(error.body(), error.status, error.headers)
        except StatefulEngineError as error:
            refusal = _refusal(error)
            return _response(refusal.body(), refusal.status, refusal.headers)

    def _read(self) -> Any:
        raw = bodies.read_bytes(request, most=self._runtime.settings.max_body_bytes)
        if not request.is_json:
            raise bodies.UnsupportedMediaTypeError("send the message with Content-Type: application/json")
        if request.accept_mimetypes and not request.accept_mimetypes.accept_json:
            raise RpcError(Code.INVALID_REQUEST, "answers are JSON; accept application/json", status=406)
        return _decoded(raw)

    def _answered(self, value: Any, caller: Caller, door: Door) -> Response:
        if isinstance(value, list):
            for _ in value[1:MOST_IN_BATCH]:
                door.count(request, caller.principal)
            answers = self._batch(value, caller)
            return _response(answers, 200) if answers else _response(None, 202)
        answer, status, headers = self._one(value, caller)
        return _response(answer, status, headers)

    # By lines

    def converse(self, lines: Iterable[bytes], scopes: Iterable[Scope]) -> Iterator[bytes]:
        """The answers to lines of JSON, one each, for a process that was started by its one caller."""
        caller = Caller(Principal("stdio", frozenset(scopes)), None)
        for line in lines:
            if not line.strip():
                continue
            answer = self._answer_to_line(line, caller)
            if answer is not None:
                caller = replace(caller, version=_negotiated(answer) or caller.version)
                yield envelope.dumps(answer)

    def _answer_to_line(self, line: bytes, caller: Caller) -> Any:
        settings = self._runtime.settings
        base = settings.public_url or "http://localhost"
        with self._app.test_request_context(settings.url_prefix + PATH, base_url=base, method="POST"):
            try:
                value = _decoded(line) if len(line) <= settings.max_body_bytes else _too_large()
            except RpcError as error:
                return error.body()
            with self._runtime.guard("answer_mcp"):
                return self._answer(value, caller)
        return RpcError(Code.INTERNAL_ERROR, "this could not be answered and was logged").body(id_of(value))

    def _answer(self, value: Any, caller: Caller) -> Any:
        if not isinstance(value, list):
            return self._one(value, caller)[0]
        try:
            return self._batch(value, caller) or None
        except RpcError as error:
            return error.body()

    # Messages

    def _batch(self, values: list[Any], caller: Caller) -> list[Any]:
        """The answers to several messages; only the revision 2025-03-26 has batches, and no handshake inside one."""
        if (caller.version or BATCH_VERSION) != BATCH_VERSION:
            raise RpcError(Code.INVALID_REQUEST, "this revision of the protocol has no batches; send one message")
        if not 0 < len(values) <= MOST_IN_BATCH:
            raise RpcError(Code.INVALID_REQUEST, f"a batch holds 1 to {MOST_IN_BATCH} messages")
        if any(isinstance(value, dict) and value.get("method") == "initialize" for value in values):
            raise RpcError(Code.INVALID_REQUEST, "initialize must not be part of a batch")
        answers = [self._one(value, caller)[0] for value in values]
        return [answer for answer in answers if answer is not None]

    def _one(self, value: Any, caller: Caller) -> tuple[dict[str, Any] | None, int, dict[str, str]]:
        """The answer to one message, with its status and headers in HTTP."""
        is_stateless = caller.version in STATELESS_VERSIONS
        try:
            if is_response(value) and not is_stateless:
                return None, 202, {}
            message = Message.of(value)
            is_stateless = is_stateless or VERSION_KEY in message.meta
            version = version_of(message, caller.version, headers=caller.headers)
            if message.is_notification:
                return None, 202, {}
            result = self._result(message, version, caller)
        except RpcError as error:
            # Before 2026-07-28, a request that could be read is answered with 200 whatever became of it.
            keeps_status = is_stateless or error.code > 0 or id_of(value) is None or error.data is not None
            return error.body(id_of(value)), error.status if keeps_status else 200, error.headers
        if is_stateless:
            result = {"resultType": "complete", **result, "_meta": {OWN_META + "serverInfo": SERVER}}
        return {"jsonrpc": "2.0", "id": message.id, "result": result}, 200, {}

    def _result(self, message: Message, version: str, caller: Caller) -> dict[str, Any]:
        is_stateless = version in STATELESS_VERSIONS
        if message.method == "tools/call":
            return self._call(message, caller.principal)
        if message.method == "tools/list":
            return self._list(message, caller.principal) | (_cacheable() if is_stateless else {})
        if message.method == "server/discover" and is_stateless:
            return {"supportedVersions": list(SUPPORTED_VERSIONS), **_introduction(), **_cacheable()}
        if message.method == "initialize" and not is_stateless:
            return {"protocolVersion": _agreed(message), "serverInfo": SERVER, **_introduction()}
        if message.method == "ping" and not is_stateless:
            return {}
        raise RpcError(Code.METHOD_NOT_FOUND, f"there is no method {message.method[:64]!r}; this server has tools only")

    def _list(self, message: Message, principal: Principal) -> dict[str, Any]:
        if message.params.get("cursor") is not None:
            raise RpcError(Code.INVALID_PARAMS, "the list has one page; leave the cursor out")
        tools = tools_of(self._operations).values()
        return {"tools": [tool.described for tool in tools if principal.may(tool.operation.scope)]}

    def _call(self, message: Message, principal: Principal) -> dict[str, Any]:
        tool, arguments = self._asked(message)
        try:
            authorize(principal, tool.operation.scope)
        except PermissionDeniedError as error:
            raise _refusal(error) from None
        runtime = self._runtime
        here = RequestInfo.from_request(request, runtime.settings)
        info = here.calling(tool.operation.name, arguments, message.meta, runtime.settings)
        started = time.perf_counter()
        outcome = self._outcome(tool.operation, arguments, info, principal)
        elapsed = (time.perf_counter() - started) * 1000
        with runtime.guard("record_a_call_by_mcp"):
            runtime.recorder.record(_logged(info, outcome, elapsed, runtime.settings))
        return outcome.result()

    def _asked(self, message: Message) -> tuple[Tool, dict[str, Any]]:
        name, arguments = message.params.get("name"), message.params.get("arguments")
        tool = tools_of(self._operations).get(name) if isinstance(name, str) else None
        if tool is None:
            shown = str(name)[:64] if isinstance(name, str) else "without a name"
            raise RpcError(Code.INVALID_PARAMS, f"there is no tool {shown}; tools/list names those there are")
        if arguments is not None and not isinstance(arguments, dict):
            raise RpcError(Code.INVALID_PARAMS, "arguments must be an object")
        return tool, arguments or {}

    def _outcome(
        self, operation: Operation, arguments: Mapping[str, Any], info: RequestInfo, principal: Principal
    ) -> Outcome:
        try:
            refuse_writes_when_disabled(self._runtime, operation)
            reply = perform(self._runtime, operation, read_call(operation, arguments, info, principal))
        except StatefulEngineError as error:
            explained = _explained(error)
            return Outcome(error.status, explained, envelope.dumps(explained), error)
        return Outcome(reply.status, reply.body, envelope.dumps(reply.body))


def _caller(principal: Principal) -> Caller:
    headers = {name: value for name in ROUTING_HEADERS if (value := request.headers.get(name)) is not None}
    return Caller(principal, headers.get(VERSION_HEADER), headers)


def _check_origin(settings: Settings) -> None:
    """Refuse pages of other origins: a name that an attacker points at this machine is one of them."""
    origin = request.headers.get("Origin")
    if origin is None or origin in settings.cors_origins:
        return
    parts = urlsplit(origin)
    is_ours = settings.public_url is not None and parts[:2] == urlsplit(settings.public_url)[:2]
    if not is_ours and (parts.hostname not in LOOPBACK or parts.scheme not in {"http", "https"}):
        raise RpcError(Code.INVALID_REQUEST, "pages of this origin may not call; see STATEFUL_CORS_ORIGINS", status=403)


def _decoded(raw: bytes) -> Any:
    try:
        value = bodies.decode(raw)
        bodies.infinite_numbers(value)
    except MalformedRequestError as error:
        raise RpcError(Code.PARSE_ERROR, error.message) from None
    return value


def _too_large() -> Any:
    raise _refusal(PayloadTooLargeError("the message is too large; send less at a time"))


def _refusal(error: StatefulEngineError) -> RpcError:
    """An error of ours as one of JSON-RPC: its code is the HTTP status, which the protocol leaves to applications."""
    headers = headers_of(error)
    if isinstance(error, PermissionDeniedError):
        headers["WWW-Authenticate"] = 'Bearer realm="stateful_engine", error="insufficient_scope"'
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return RpcError(error.status, error.message, data={"error": error.code}, status=error.status, headers=headers)


def _explained(error: StatefulEngineError) -> dict[str, Any]:
    faults = [flat_fault(fault) for fault in error.errors]
    errors = [{"pointer": fault.pointer, "detail": fault.detail, "code": fault.code} for fault in faults]
    return {"error": error.code, "message": redact_text(error.message)} | ({"errors": errors} if errors else {})


def _agreed(message: Message) -> str:
    """The version of a handshake: the one that is asked for, else the latest that has one."""
    wanted = message.params.get("protocolVersion")
    return wanted if wanted in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[-1]


def _negotiated(answer: Any) -> str | None:
    """The version that a handshake agreed on, where `answer` is the answer to one."""
    result = answer.get("result") if isinstance(answer, dict) else None
    return result.get("protocolVersion") if isinstance(result, dict) else None


def _introduction() -> dict[str, Any]:
    return {"capabilities": {"tools": {}}, "instructions": INSTRUCTIONS}


def _cacheable() -> dict[str, Any]:
    return {"ttlMs": TTL_MS, "cacheScope": "private"}


def _logged(info: RequestInfo, outcome: Outcome, elapsed_ms: float, settings: Settings) -> RecordedCall:
    query = {
        "endpoint": info.endpoint,
        "method": info.method,
        "request_params": info.params,
        "user_query": info.user_query,
        "response_status": outcome.status,
        "processing_time_ms": round(elapsed_ms, 3),
        "is_successful": outcome.error is None,
        "error_message": None if outcome.error is None else outcome.error.code,
        **info.attribution,
    }
    body = outcome.text if settings.capture_response else None
    return RecordedCall(clock.epoch_us(), identifiers.query_id(), query, body)


def _response(body: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    content = "" if body is None else envelope.dumps(body).decode()
    return envelope.success(Reply(content, status, headers or {}, enveloped=False))
