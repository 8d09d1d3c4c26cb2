"""Webhooks by the book: signatures as the specification has them, patience, and addresses that are really public."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from standardwebhooks import Webhook

from stateful_engine.domain.webhooks import LONGEST_PAUSE, MOST_ATTEMPTS, is_public, pause, secret_text, signature


def test_the_signature_is_the_one_of_the_reference_library() -> None:
    secret, at = secret_text(b"k" * 32), datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    body = '{"type":"signal.created","data":{"symbol":"ÄÖ"}}'
    expected = Webhook(secret).sign("msg_1", at, body)
    assert signature(secret, "msg_1", int(at.timestamp()), body.encode()) == expected


def test_the_signature_is_the_one_in_the_specification() -> None:
    """The example of the specification's text."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_pauses_double_vary_and_end_at_a_limit() -> None:
    assert [pause(n, 0).total_seconds() for n in (1, 2, 3, 4)] == [5, 10, 20, 40]
    assert pause(3, 1) == timedelta(seconds=10)
    assert pause(10_000, 0) == LONGEST_PAUSE
    assert sum((pause(n, 0) for n in range(1, MOST_ATTEMPTS)), timedelta()) > timedelta(hours=20)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
        *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "localhost", "", "1"),
    ],
)
def test_addresses_that_lead_inside_are_not(address: str) -> None:
    assert not is_public(address)
