"""One attempt to bring a message to an address that a stranger may have chosen.

The name is resolved once, every address that it stands for has to be public, and the connection goes to an address that
was checked, so that a name which is resolved differently a moment later leads nowhere else. Redirects are not followed,
proxies of the environment are not asked, and of the answer only its first line is read, within one deadline: what a
receiver sends costs neither time nor memory.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from functools import cache
from http.client import HTTPConnection, HTTPException
from urllib.parse import SplitResult, urlsplit

from stateful_engine.domain.webhooks import is_public
from stateful_engine.errors import Fault, InvalidInputError

SECONDS = 10.0
"""How long an attempt may take in all."""

MAX_URL = 2048
MAX_HEAD = 64 * 2**10
_PORTS = {"https": 443, "http": 80}
_PLAIN = re.compile(r"[!-\[\]-~]+")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r]")


class NotSentError(Exception):
    """Why a message did not arrive; the text names nothing that a receiver has said."""


def checked_url(url: str, *, allow_private: bool) -> str:
    """`url` when messages may be sent there at all; raises `InvalidInputError` with the reason.

    What its name stands for is looked at when something is sent.
    """
    parts = _parts_of(url)
    if parts is None or not parts.hostname or parts.scheme not in _PORTS or "@" in parts.netloc or parts.fragment:
        raise _refused("a webhook needs an https address without user and fragment; send for example https://host/hook")
    if parts.scheme == "http" and not allow_private:
        raise _refused("a webhook needs an https address; for an own network set STATEFUL_WEBHOOK_ALLOW_PRIVATE")
    if not allow_private and _is_hidden(parts.hostname):
        raise _refused("this address is private; for an own network set STATEFUL_WEBHOOK_ALLOW_PRIVATE")
    return url


def send(url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool) -> int:
    """POST a message; the status of the answer. Raises `NotSentError`."""
    parts, deadline = urlsplit(url), time.monotonic() + SECONDS
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    addresses = _resolved(host, port, allow_private=allow_private)
    connection = _Pinned(host, port, addresses, deadline, tls=parts.scheme == "https")
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, {**headers, "Connection": "close"})
        return _status(connection.sock, deadline)
    except (OSError, HTTPException, ValueError) as error:
        raise NotSentError(f"no answer ({type(error).__name__})") from error
    finally:
        connection.close()


class _Pinned(HTTPConnection):
    """A connection to one of the addresses that were checked, whatever the name stands for by now."""

    def __init__(self, host: str, port: int, addresses: Sequence[str], deadline: float, *, tls: bool) -> None:
        super().__init__(host, port)
        self._addresses = addresses
        self._deadline = deadline
        self._tls = tls
        self.default_port = _PORTS["https" if tls else "http"]

    def connect(self) -> None:
        """Connect to the first address that answers."""
        connected = self._connected()
        connected.settimeout(_left(self._deadline))
        self.sock = _context().wrap_socket(connected, server_hostname=self.host) if self._tls else connected

    def _connected(self) -> socket.socket:
        for address in self._addresses[:-1]:
            try:
                return socket.create_connection((address, self.port), _left(self._deadline) / 2)
            except OSError:
                continue
        return socket.create_connection((self._addresses[-1], self.port), _left(self._deadline))


def _resolved(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The numeric addresses of a host, which all have to be public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotSentError("the host is not known") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not addresses or not (allow_private or all(is_public(address) for address in addresses)):
        raise NotSentError("the host leads to a private address, which STATEFUL_WEBHOOK_ALLOW_PRIVATE does not allow")
    return addresses


def _status(sock: socket.socket, deadline: float) -> int:
    """The status of the answer; interim answers (1xx) are passed over."""
    head = b""
    while len(head) < MAX_HEAD:
        sock.settimeout(_left(deadline))
        piece = sock.recv(4096)
        head += piece
        while (found := _STATUS.match(head)) is not None:
            if found[1][:1] != b"1":
                return int(found[1])
            _, end, behind = head.partition(b"\r\n\r\n")
            if not end:
                break
            head = behind
        if not piece or (found is None and b"\n" in head):
            break
    raise NotSentError("the answer is no HTTP")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for this attempt is over")
    return left


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _parts_of(url: str) -> SplitResult | None:
    if len(url) > MAX_URL or not _PLAIN.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        return parts if parts.port != 0 else None
    except ValueError:
        return None


def _is_hidden(host: str) -> bool:
    """Whether a host says by itself that it is not public; the others are found out when they are used."""
    is_number = ":" in host or host.rpartition(".")[2].isdigit()
    return (
        (is_number and not is_public(host)) or "." not in host or host.endswith((".local", ".internal", ".localhost"))
    )


def _refused(detail: str) -> InvalidInputError:
    return InvalidInputError(detail, errors=(Fault("/url", detail, "NOT_ALLOWED"),))
