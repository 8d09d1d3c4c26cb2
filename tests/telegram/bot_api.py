"""A Bot API server on loopback: it hands out the updates of a story and remembers what the bot did."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"
BOT = {"id": 123456789, "is_bot": True, "first_name": "Stub", "username": "stub_bot"}
ANSWERS_WITHIN = 20.0
LONGEST_POLL = 0.3
BIG_ID = 7_000_000_000_001

_numbers = itertools.count(1)

Params = dict[str, str]


@dataclass
class BotApi:
    """The state of the stub; `refuse` names methods that answer with an error (`getMe`: with that of a wrong token)."""

    updates: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, Params]] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)
    refuse_chats: set[str] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/bot"

    def deliver(self, update: dict[str, Any]) -> None:
        """Let the bot have an update when it asks next."""
        with self.changed:
            self.updates.append(update)
            self.changed.notify_all()

    def made(self, method: str) -> list[Params]:
        """The calls of a method so far."""
        return [params for name, params in self.calls if name == method]

    def wait_for(self, method: str, fits: Callable[[Params], bool] = lambda params: True) -> Params:
        """The first call of a method that fits, as soon as it has been made."""

        def found() -> Params | None:
            return next((params for params in self.made(method) if fits(params)), None)

        with self.changed:
            assert self.changed.wait_for(lambda: found() is not None, ANSWERS_WITHIN), f"no {method}: {self.calls}"
            call = found()
            assert call is not None
            return call

    def answer(self, method: str, params: Params) -> Any:
        """Remember a call and give its result; None refuses it."""
        if method == "getUpdates":
            return self._poll(int(params.get("offset", "0")))
        with self.changed:
            self.calls.append((method, params))
            self.changed.notify_all()
        if method in self.refuse or params.get("chat_id") in self.refuse_chats:
            return None
        if method == "getMe":
            return BOT
        return message_from_bot(params) if method.startswith("send") else True

    def _poll(self, offset: int) -> list[dict[str, Any]]:
        def pending() -> list[dict[str, Any]]:
            return [update for update in self.updates if update["update_id"] >= offset]

        with self.changed:
            self.changed.wait_for(lambda: bool(pending()), LONGEST_POLL)
            return pending()


def serve(api: BotApi) -> ThreadingHTTPServer:
    """Start the server of `api` on a free port; whoever starts it shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            method = self.path.rpartition("/")[2]
            result = api.answer(method, _params(self.headers.get("Content-Type") or "", body))
            status = 401 if method == "getMe" else 400
            refusal = {"ok": False, "error_code": status, "description": "refused by the stub"}
            reply = json.dumps(refusal if result is None else {"ok": True, "result": result}).encode()
            self.send_response(status if result is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def _params(kind: str, body: bytes) -> Params:
    if kind.startswith("multipart"):
        return {"bytes": str(len(body)), "png": str(b"\x89PNG" in body)}
    return dict(parse_qsl(body.decode()))


# What people do


def message(text: str, *, user_id: int = BIG_ID, chat_id: int | None = None) -> dict[str, Any]:
    """The update for a message; in a group the chat differs from the person."""
    number = next(_numbers)
    body: dict[str, Any] = {
        "message_id": number,
        "date": 1_760_000_000,
        "from": {"id": user_id, "is_bot": False, "first_name": "Ada", "username": "ada"},
        "chat": {"id": chat_id or user_id, "type": "group" if chat_id else "private", "title": "Traders"},
        "text": text,
    }
    if text.startswith("/"):
        body["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text.split(maxsplit=1)[0])}]
    return {"update_id": number, "message": body}


def press(data: str, *, user_id: int = BIG_ID, chat_id: int = -100_123) -> dict[str, Any]:
    """The update for a button that was pressed in a group."""
    sent = message_from_bot({"chat_id": str(chat_id)})
    number = next(_numbers)
    query = {
        "id": str(number),
        "from": {"id": user_id, "is_bot": False, "first_name": "Ada", "username": "ada"},
        "chat_instance": "1",
        "message": sent,
        "data": data,
    }
    return {"update_id": number, "callback_query": query}


def message_from_bot(params: Params) -> dict[str, Any]:
    """What Telegram returns for a message that was sent."""
    chat_id = int(params.get("chat_id") or 1)
    chat = {"id": chat_id, "type": "group" if chat_id < 0 else "private", "title": "Traders"}
    return {"message_id": next(_numbers), "date": 1_760_000_000, "chat": chat, "from": BOT, "text": "sent"}
