"""One attempt: to the address that was checked, within its time, whatever the receiver does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stateful_engine.errors import InvalidInputError
from stateful_engine.services import webhook_sending
from stateful_engine.services.webhook_sending import NotSentError, checked_url, send
from tests.webhook_receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@contextmanager
def answering(act: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does something odd with each connection; its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            act(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        thread.join(timeout=10)
        listener.close()


def test_a_message_arrives_as_it_was_made(receiver: Receiver) -> None:
    assert send(receiver.url, b'{"a":1}', {"webhook-id": "msg_1"}, allow_private=True) == 204
    assert receiver.bodies == ['{"a":1}']
    assert receiver.paths == ["/hook?a=1"]
    assert receiver.headers[0]["webhook-id"] == "msg_1"


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com/hook", "ftp://example.com", "example.com", "", "https://", "https://user@example.com/"),
        *("https://example.com/#part", "https://example.com/a b", "https://example.com:99999/", "https://exämple.com"),
        *("https://127.0.0.1/", "https://10.1.2.3/", "https://169.254.169.254/latest", "https://[::1]/", "https://0/"),
        *("https://[::ffff:10.0.0.1]/", "https://localhost/", "https://intranet/", "https://db.internal/"),
        *("https://2130706433/", "https://printer.local/", "https://example.com/" + "a" * 2048),
    ],
)
def test_an_address_that_is_not_public_https_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError):
        checked_url(url, allow_private=False)


def test_an_own_network_may_be_allowed() -> None:
    assert checked_url("http://10.1.2.3:8080/hook", allow_private=True)
    assert checked_url("https://hooks.example/x", allow_private=False)


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::1"], ["::ffff:127.0.0.1"]])
def test_a_name_that_leads_inside_is_found_out_when_it_is_resolved(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, answer: list[str]
) -> None:
    _resolve(monkeypatch, [answer])
    with pytest.raises(NotSentError, match="private address"):
        send("https://public.example/", b"", {}, allow_private=False)
    assert receiver.bodies == []


def test_the_connection_goes_to_the_address_that_was_checked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is answered differently the second time is not asked a second time."""
    asked = _resolve(monkeypatch, [["127.0.0.1"], ["203.0.113.9"]])
    url = receiver.url.replace("127.0.0.1", "hooks.example")
    assert send(url, b"{}", {}, allow_private=True) == 204
    assert asked == ["hooks.example"]
    assert receiver.headers[0]["host"] == url.split("/")[2]


def test_the_next_address_is_tried_where_one_does_not_answer(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolve(monkeypatch, [["::1", "127.0.0.1"]])
    assert send(receiver.url.replace("127.0.0.1", "hooks.example"), b"{}", {}, allow_private=True) == 204


def test_a_redirect_is_an_answer_and_not_followed(receiver: Receiver) -> None:
    receiver.status, receiver.location = 302, receiver.url
    assert send(receiver.url, b"{}", {}, allow_private=True) == 302
    assert len(receiver.bodies) == 1


def test_nobody_there_and_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(NotSentError, match="no answer"):
        send(f"http://127.0.0.1:{port}/", b"", {}, allow_private=True)
    with pytest.raises(NotSentError, match="not known"):
        send("http://nothing.invalid/", b"", {}, allow_private=True)


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/9.9 200 OK\r\n\r\n", b"HTTP/1.1 999\r\n", b"x" * 200_000],
    ids=["nothing", "ssh", "version", "status", "endless"],
)
def test_an_answer_that_is_no_http_is_none(answer: bytes) -> None:
    with answering(lambda connection: connection.sendall(answer)) as url, pytest.raises(NotSentError):
        send(url, b"{}", {}, allow_private=True)


def test_a_receiver_without_tls_is_not_talked_to_in_plain(receiver: Receiver) -> None:
    with pytest.raises(NotSentError, match="SSLError"):
        send(receiver.url.replace("http://", "https://"), b"{}", {}, allow_private=True)
    assert receiver.bodies == []


def test_interim_answers_are_passed_over_and_a_long_body_is_not_read() -> None:
    def act(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n")

    with answering(act) as url:
        assert send(url, b"{}", {}, allow_private=True) == 200


def test_a_receiver_that_dawdles_does_not_hold_the_sender_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_sending, "SECONDS", 0.2)
    done = threading.Event()

    def act(connection: socket.socket) -> None:
        try:
            while not done.wait(0.05):
                connection.sendall(b"H")
        except OSError:
            pass

    with answering(act) as url:
        with pytest.raises(NotSentError):
            send(url, b"{}", {}, allow_private=True)
        done.set()


def _resolve(monkeypatch: pytest.MonkeyPatch, answers: list[list[str]]) -> list[str]:
    """Let the network's names lead to these addresses, one answer after the other; the names that were asked for."""
    real, asked = socket.getaddrinfo, []

    def getaddrinfo(host: Any, port: Any, *args: Any, **named: Any) -> Any:
        if str(host).endswith(".example"):
            asked.append(host)
            found = answers.pop(0)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]
        return real(host, port, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked
