"""Click links: a click is recorded and the visitor led on, only to where the host allows, whatever else happens."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from stateful_engine import StatefulEngine
from stateful_engine.errors import ConfigurationError, InvalidInputError
from tests.api.calls import PREFIX, assert_refused, track

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from tests.factories import FakeClock

PUBLIC = "https://signals.example"
TARGET = "https://charts.example/btc?tf=1H"
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}


@pytest.fixture
def app(make_app: Any, engine: StatefulEngine) -> Flask:
    made: Flask = make_app(engine=engine, STATEFUL_PUBLIC_URL=PUBLIC, STATEFUL_LINK_TARGETS=["charts.example"])
    return made


@pytest.fixture
def signal_id(client: FlaskClient) -> str:
    return track(client)


@pytest.fixture
def link(app: Flask, engine: StatefulEngine, signal_id: str) -> str:
    """A link on `signal_id`, without its host."""
    with app.app_context():
        made = engine.click_link(signal_id, TARGET, user_id="ann")
    assert made.startswith(f"{PUBLIC}{PREFIX}/r/")
    return urlsplit(made).path


def clicks(client: FlaskClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"{PREFIX}/interactions?interaction_type=CLICK").json["interactions"]
    return found


def test_a_click_is_recorded_and_led_on(client: FlaskClient, link: str, signal_id: str) -> None:
    answer = client.get(link, headers=BROWSER)
    assert (answer.status_code, answer.headers["Location"], answer.data) == (302, TARGET, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    [click] = clicks(client)
    assert (click["signal_id"], click["user_id"], click["interaction_source"]) == (signal_id, "ann", "WEB")
    assert click["interaction_data"] == {"target": TARGET}


def test_no_key_is_needed_where_the_api_asks_for_one(make_app: Any, engine: StatefulEngine) -> None:
    app = make_app(engine=engine, TESTING=False, STATEFUL_PUBLIC_URL=PUBLIC)
    with app.app_context():
        link = engine.click_link("sig_000000000000_1600000000", f"{PUBLIC}/page")
    assert app.test_client().get(urlsplit(link).path).status_code == 302
    assert app.test_client().get(f"{PREFIX}/interactions").status_code == 401


@pytest.mark.parametrize(
    "agent",
    [
        "TelegramBot (like TwitterBot)",
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "Twitterbot/1.0",
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
        "WhatsApp/2.23.20.0",
        "LinkedInBot/1.0 (compatible; Mozilla/5.0)",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "SkypeUriPreview Preview/0.5",
    ],
)
def test_a_preview_is_led_on_and_counts_for_nothing(client: FlaskClient, link: str, agent: str) -> None:
    assert client.get(link, headers={"User-Agent": agent}).headers["Location"] == TARGET
    assert clicks(client) == []


def test_neither_a_head_request_nor_a_prefetch_is_a_click(client: FlaskClient, link: str) -> None:
    assert client.head(link, headers=BROWSER).headers["Location"] == TARGET
    assert client.get(link, headers=BROWSER | {"Sec-Purpose": "prefetch;prerender"}).status_code == 302
    assert clicks(client) == []


def test_a_phone_with_bot_in_its_name_belongs_to_a_person(client: FlaskClient, link: str) -> None:
    client.get(link, headers={"User-Agent": "Mozilla/5.0 (Linux; Android 14; CUBOT X30) Mobile"})
    assert len(clicks(client)) == 1


def test_a_link_that_was_touched_leads_nowhere(client: FlaskClient, link: str) -> None:
    token = link.rpartition("/")[2]
    body, _, signature = token.rpartition(".")
    for forged in (token[:-1], f"x{token}", f"{body}.{signature[::-1]}", "x", "a.b", "é", "a" * 5000):
        answer = client.get(f"{PREFIX}/r/{forged}", headers=BROWSER)
        assert_refused(answer, 404, "LINK_NOT_FOUND")
        assert "Location" not in answer.headers
    assert clicks(client) == []


def test_a_link_ends(app: Flask, engine: StatefulEngine, client: FlaskClient, clock: FakeClock) -> None:
    with app.app_context():
        short = engine.click_link("sig_1", TARGET, expires=60)
        usual = engine.click_link("sig_1", TARGET)
        long = engine.click_link("sig_1", TARGET, expires=None)

    def statuses() -> list[int]:
        return [client.get(urlsplit(link).path).status_code for link in (short, usual, long)]

    assert statuses() == [302, 302, 302]
    clock.advance(seconds=62)
    assert statuses() == [404, 302, 302]
    clock.advance(days=31)
    assert statuses() == [404, 404, 302]


def test_a_target_that_is_not_allowed_makes_no_link_and_ends_old_ones(
    app: Flask, make_app: Any, engine: StatefulEngine, link: str
) -> None:
    with app.app_context(), pytest.raises(InvalidInputError, match="STATEFUL_LINK_TARGETS"):
        engine.click_link("sig_1", "https://evil.example")
    narrower = make_app(
        instance_path=app.extensions["stateful_engine"].settings.instance_path, STATEFUL_PUBLIC_URL=PUBLIC
    )
    assert_refused(narrower.test_client().get(link), 404, "LINK_NOT_FOUND")


def test_another_installation_does_not_honour_the_link(make_app: Any, link: str) -> None:
    other = make_app(STATEFUL_LINK_TARGETS=["charts.example"])
    assert_refused(other.test_client().get(link), 404, "LINK_NOT_FOUND")


def test_a_visitor_is_led_on_although_nothing_can_be_recorded(make_app: Any, engine: StatefulEngine) -> None:
    app = make_app(engine=engine, STATEFUL_PUBLIC_URL=PUBLIC, STATEFUL_SPOOL_MAX_BYTES=1)
    with app.app_context():
        link = urlsplit(engine.click_link("sig_1", f"{PUBLIC}/page")).path
    assert app.test_client().get(link, headers=BROWSER).headers["Location"] == f"{PUBLIC}/page"
    assert app.extensions["stateful_engine"].guard.snapshot()["failed_record_a_click"] == 1


def test_a_visitor_over_the_limit_is_led_on_uncounted(make_app: Any, engine: StatefulEngine) -> None:
    app = make_app(engine=engine, STATEFUL_PUBLIC_URL=PUBLIC, STATEFUL_RATE_LIMIT="2/day")
    with app.app_context():
        link = urlsplit(engine.click_link("sig_1", f"{PUBLIC}/page")).path
    assert [app.test_client().get(link, headers=BROWSER).status_code for _ in range(4)] == [302] * 4
    runtime = app.extensions["stateful_engine"]
    runtime.flush()
    assert runtime.analytics.interactions(days=1)["by_type"] == {"CLICK": 2}


def test_inside_a_request_the_link_is_made_for_its_host(make_app: Any, engine: StatefulEngine) -> None:
    app = make_app(engine=engine, STATEFUL_LINK_TARGETS="charts.example")
    with app.test_request_context(base_url="https://here.example/app"):
        assert engine.click_link("sig_1", TARGET).startswith(f"https://here.example/app{PREFIX}/r/")
    with app.app_context(), pytest.raises(ConfigurationError, match="STATEFUL_PUBLIC_URL"):
        engine.click_link("sig_1", TARGET)


def test_a_link_names_people_by_their_pseudonyms(make_app: Any, engine: StatefulEngine, client: FlaskClient) -> None:
    app = make_app(engine=engine, STATEFUL_PUBLIC_URL=PUBLIC, STATEFUL_HASH_USER_IDS=True)
    with app.app_context():
        link = engine.click_link("sig_1", f"{PUBLIC}/page", user_id="ann", expires=timedelta(hours=1))
    app.test_client().get(urlsplit(link).path, headers=BROWSER)
    runtime = app.extensions["stateful_engine"]
    runtime.flush()
    [click] = app.test_client().get(f"{PREFIX}/interactions?user_id=ann").json["interactions"]
    assert click["user_id"] == runtime.database.people.of("ann")


def test_the_hosts_secret_key_is_left_alone(app: Flask, link: str) -> None:
    assert app.secret_key is None
