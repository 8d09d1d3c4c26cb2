"""Settings: what a host writes down is what the engine works with, and mistakes are told with their remedy."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from flask import Flask

from stateful_engine.config import REDACTED_KEYS, Settings
from stateful_engine.errors import ConfigurationError


def read(**config: object) -> Settings:
    return Settings.from_mapping(config, instance_path="/srv/instance")


def test_without_any_key_the_documented_defaults_hold() -> None:
    settings = read()
    assert settings.enabled
    assert settings.database_url is None
    assert settings.spool_dir == Path("/srv/instance/stateful_spool")
    assert settings.url_prefix == "/api/gpts/state"
    assert settings.cors_origins == ("https://chatgpt.com", "https://chat.openai.com")
    assert settings.capture_response_max_bytes == 65536
    assert settings.spool_max_bytes == 2**30
    assert settings.auto_migrate is None
    assert not settings.dashboard


def test_the_dashboard_is_on_in_debug_only_unless_the_host_says_otherwise() -> None:
    assert Settings.from_mapping({}, instance_path=".", debug=True).dashboard
    assert not Settings.from_mapping({"STATEFUL_DASHBOARD": False}, instance_path=".", debug=True).dashboard


def test_the_environment_reaches_the_settings_through_the_hosts_own_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_STATEFUL_ENABLED", "false")
    monkeypatch.setenv("FLASK_STATEFUL_SPOOL_MAX_BYTES", "64 MiB")
    monkeypatch.setenv("FLASK_STATEFUL_CORS_ORIGINS", "https://a.example, https://b.example/")
    app = Flask(__name__)
    app.config.from_prefixed_env()
    settings = Settings.from_mapping(app.config, instance_path=app.instance_path)
    assert not settings.enabled
    assert settings.spool_max_bytes == 64 * 2**20
    assert settings.cors_origins == ("https://a.example", "https://b.example")


def test_an_unknown_key_is_a_warning_that_suggests_the_nearest(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="stateful_engine"):
        read(STATEFUL_DATABSE_URL="sqlite://")
    assert "STATEFUL_DATABSE_URL" in caplog.text
    assert "did you mean STATEFUL_DATABASE_URL?" in caplog.text


def test_foreign_keys_are_none_of_our_business(caplog: pytest.LogCaptureFixture) -> None:
    read(SQLALCHEMY_DATABASE_URI="sqlite://", SECRET_KEY="x")
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("STATEFUL_ENABLED", "perhaps"),
        ("STATEFUL_FLUSH_INTERVAL", 0),
        ("STATEFUL_FLUSH_INTERVAL", float("nan")),
        ("STATEFUL_EFFECT_WAIT", -1),
        ("STATEFUL_SPOOL_MAX_BYTES", "many"),
        ("STATEFUL_SPOOL_MAX_BYTES", True),
        ("STATEFUL_URL_PREFIX", "/"),
        ("STATEFUL_URL_PREFIX", "a b"),
        ("STATEFUL_PUBLIC_URL", "example.com"),
        ("STATEFUL_SCHEMA", "Robert'; DROP"),
        ("STATEFUL_AUTH", "open"),
        ("STATEFUL_RATE_LIMIT", "fast"),
        ("STATEFUL_RETENTION_DAYS", {"users": 3}),
        ("STATEFUL_RETENTION_DAYS", 0),
        ("STATEFUL_DATABASE_URL", ""),
        ("STATEFUL_HASH_KEY", "short"),
        ("STATEFUL_PRICES", "cheap"),
        ("STATEFUL_PRICES", {"m": 3}),
        ("STATEFUL_PRICES", {"m": {"prompt": 1}}),
        ("STATEFUL_PRICES", {"m": {"prompt": 1, "completion": -1}}),
        ("STATEFUL_PRICES", {"m": {"prompt": 1, "completion": "dear"}}),
        ("STATEFUL_LINK_TARGETS", "ftp://example.com"),
        ("STATEFUL_LINK_TARGETS", ["example.com/path"]),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_the_remedy(key: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"{key} cannot be .*: .*set it to|{key} cannot be .*tables:"):
        read(**{key: value})


def test_a_refused_url_does_not_show_its_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(STATEFUL_PUBLIC_URL="ftp://user:hunter2@example.com")
    assert "hunter2" not in str(caught.value)


def test_a_refused_key_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(STATEFUL_HASH_KEY="hunter2")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(read(STATEFUL_HASH_KEY="hunter2" * 5))


def test_passwords_in_urls_are_not_in_the_repr() -> None:
    settings = read(STATEFUL_DATABASE_URL="postgresql://u:hunter2@h/d", STATEFUL_REDIS_URL="redis://:hunter2@h/0")
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("key", ["STATEFUL_REDIS_URL", "STATEFUL_STREAM_URL"])
@pytest.mark.parametrize("url", ["localhost:6379", "http://h", "redis", "redis://"])
def test_an_address_that_is_none_of_redis_is_refused_at_once(key: str, url: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{key} cannot be.*redis://, rediss://, unix://"):
        read(**{key: url})


@pytest.mark.parametrize(
    ("given", "used"), [("state/", "/state"), ("/a/b/", "/a/b"), ("//x", "/x"), ("/api/gpts/state", "/api/gpts/state")]
)
def test_slashes_of_a_prefix_are_normalised(given: str, used: str) -> None:
    assert read(STATEFUL_URL_PREFIX=given).url_prefix == used


def test_a_hosts_redaction_list_adds_to_ours_and_never_weakens_it() -> None:
    settings = read(STATEFUL_REDACT=["Account_No"])
    assert settings.redact == REDACTED_KEYS | {"account_no"}


def test_retention_is_one_number_or_one_per_table() -> None:
    assert read(STATEFUL_RETENTION_DAYS="30").retention_days["gpt_query_log"] == 30
    assert read(STATEFUL_RETENTION_DAYS={"gpt_query_log": 7}).retention_days == {"gpt_query_log": 7}


def test_link_targets_are_hosts_or_beginnings_of_addresses() -> None:
    assert read().link_targets == ()
    assert read(STATEFUL_LINK_TARGETS="Example.com, https://b.example/App/").link_targets == (
        "example.com",
        "https://b.example/App",
    )


def test_auth_takes_a_callable() -> None:
    def allow(request: object) -> bool:
        return True

    assert read(STATEFUL_AUTH=allow).auth is allow
