"""Who is really calling."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from stateful_engine import AuthenticationError, ConfigurationError
from stateful_engine.telegram import check_init_data, check_webhook_secret
from tests.factories import MOMENT

TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"
FIELDS = {
    "query_id": "AAHdF6IQAAAAAN0XohDhrOrc",
    "user": '{"id":7000000000001,"first_name":"Ada","username":"ada"}',
    "auth_date": str(int(MOMENT.timestamp()) - 60),
    "signature": "kept-in-the-signed-text",
}


def signed(fields: dict[str, str], token: str = TOKEN) -> str:
    """What Telegram puts into `initData`, written down from its documentation."""
    secret = hmac.new(b"WebAppData", token.encode(), hashlib.sha256).digest()
    check_string = "\n".join(sorted(f"{name}={value}" for name, value in fields.items()))
    return urlencode({**fields, "hash": hmac.new(secret, check_string.encode(), hashlib.sha256).hexdigest()})


def test_what_telegram_signed_is_read(clock: Any) -> None:
    data = check_init_data(signed(FIELDS), TOKEN)
    assert (data.user_id, data.user["username"]) == (7_000_000_000_001, "ada")
    assert data.auth_date == (MOMENT - timedelta(seconds=60)).replace(microsecond=0)
    assert data.fields == FIELDS


@pytest.mark.parametrize(
    "init_data",
    [
        signed(FIELDS).replace("Ada", "Eve"),
        signed(FIELDS, "987654321:another"),
        signed(FIELDS) + "&user=%7B%7D",
        urlencode(FIELDS),
        urlencode({**FIELDS, "hash": ""}),
        urlencode({**FIELDS, "hash": "é"}),
        "",
        "no query string",
        signed({**FIELDS, "auth_date": "yesterday"}),
        signed({**FIELDS, "auth_date": "1"}),
        signed({**FIELDS, "auth_date": str(int(MOMENT.timestamp()) + 3600)}),
        signed({**FIELDS, "user": "[1]"}),
        signed({**FIELDS, "user": "{"}),
        signed({**FIELDS, "start_param": "x" * 20_000}),
    ],
)
def test_what_telegram_did_not_sign_for_this_bot_just_now_is_refused(clock: Any, init_data: str) -> None:
    with pytest.raises(AuthenticationError, match="open the Mini App from Telegram again"):
        check_init_data(init_data, TOKEN)


def test_a_mini_app_without_user_has_no_user(clock: Any) -> None:
    fields = {name: value for name, value in FIELDS.items() if name != "user"}
    assert check_init_data(signed(fields), TOKEN).user_id is None


@pytest.mark.parametrize(
    ("headers", "genuine"),
    [
        ({"X-Telegram-Bot-Api-Secret-Token": "s3cret"}, True),
        ({"x-telegram-bot-api-secret-token": "s3cret"}, True),
        ({"X-Telegram-Bot-Api-Secret-Token": "s3cre"}, False),
        ({"X-Telegram-Bot-Api-Secret-Token": "sécret"}, False),
        ({}, False),
    ],
)
def test_a_webhook_call_carries_the_secret(headers: dict[str, str], genuine: bool) -> None:
    assert check_webhook_secret(headers, "s3cret") is genuine


def test_an_empty_secret_would_let_everybody_in() -> None:
    with pytest.raises(ConfigurationError, match="setWebhook"):
        check_webhook_secret({}, "")
    with pytest.raises(ConfigurationError, match="BotFather"):
        check_init_data(signed(FIELDS, ""), "")
