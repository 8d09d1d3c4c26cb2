from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from stateful_engine.config import Settings
from stateful_engine.errors import ConfigurationError
from tests.api.calls import PREFIX, assert_refused

if TYPE_CHECKING:
    from flask import Flask

URL = f"{PREFIX}/privacy"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Which database stands behind the door makes no difference here."""
    return sqlite_url


def test_everybody_may_read_what_is_recorded_and_it_follows_the_settings(make_app: Callable[..., Flask]) -> None:
    plain = make_app(TESTING=False).test_client().get(URL)
    careful = make_app(
        TESTING=False, STATEFUL_STORE_IP=False, STATEFUL_HASH_USER_IDS=True, STATEFUL_RETENTION_DAYS=90
    ).test_client()

    assert plain.status_code == 200
    assert plain.content_type == "text/plain; charset=utf-8"
    assert "network address" in plain.text
    assert "until whoever runs" in plain.text
    assert "pseudonyms" not in plain.text
    said = careful.get(URL).text
    assert "network address" not in said
    assert "pseudonyms" in said
    assert "deleted after 90 days" in said


def test_the_host_may_say_it_in_its_own_words(make_app: Callable[..., Flask]) -> None:
    text = make_app(STATEFUL_PRIVACY_TEXT="We keep nothing.").test_client().get(URL)
    page = make_app(STATEFUL_PRIVACY_TEXT=lambda: "<!doctype html><p>We keep nothing.").test_client().get(URL)

    assert (text.text, text.content_type) == ("We keep nothing.", "text/plain; charset=utf-8")
    assert page.content_type == "text/html; charset=utf-8"


def test_words_that_are_none_are_a_mistake_of_the_host(make_app: Callable[..., Flask]) -> None:
    answers: list[Any] = [7]
    client = make_app(STATEFUL_PRIVACY_TEXT=lambda: answers[0], PROPAGATE_EXCEPTIONS=False).test_client()

    assert_refused(client.get(URL), 500, "CONFIGURATION_ERROR")
    with pytest.raises(ConfigurationError, match="STATEFUL_PRIVACY_TEXT"):
        Settings.from_mapping({"STATEFUL_PRIVACY_TEXT": "  "}, instance_path=".")
