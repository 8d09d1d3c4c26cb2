"""A local HTTP server that receives webhooks, checks their signatures and answers what a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What arrived, and how to answer: `answers` in turn, then `status`."""

    url: str = ""
    status: int = 204
    location: str = ""
    answers: list[int] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def said(self) -> list[dict[str, Any]]:
        """The messages, decoded."""
        return [json.loads(body) for body in self.bodies]

    @property
    def events(self) -> list[str]:
        """What the messages tell of, sorted."""
        return sorted(message["type"] for message in self.said)

    def take(self, handler: BaseHTTPRequestHandler) -> int:
        """Keep a message; the status to answer."""
        body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
        with self.lock:
            self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            self.paths.append(handler.path)
            return self.answers.pop(0) if self.answers else self.status


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens on a port of its own until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(receiver.take(self))
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook?a=1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
