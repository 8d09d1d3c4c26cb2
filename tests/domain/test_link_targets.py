"""Where click links may lead: parts are compared, not texts."""

from __future__ import annotations

import pytest

from stateful_engine.domain.link_targets import is_allowed, is_rule

RULES = ("example.com", "https://app.example/charts/", "ports.example:8443")


@pytest.mark.parametrize(
    "target",
    [
        "https://example.com",
        "https://example.com/anything?x=1#y",
        "http://EXAMPLE.com/",
        "https://example.com./",
        "https://example.com:443/",
        "https://app.example/charts",
        "https://app.example/charts/BTC?tf=1H",
        "https://ports.example:8443/a",
    ],
)
def test_what_a_rule_names_is_allowed(target: str) -> None:
    assert is_allowed(target, RULES)


@pytest.mark.parametrize(
    "target",
    [
        *("https://example.com.evil.org", "https://evil.org", "https://sub.example.com", "//example.com", "/path", ""),
        *("https://example.com@evil.org", "https://user:pw@example.com", "https://evil.org#@example.com"),
        *("https://evil.org\\@example.com", "https://example.com\\@evil.org", "https:\\\\example.com"),
        *("javascript:alert(1)//example.com", "data:text/html,x", "ftp://example.com", "tg://example.com"),
        *("https://example.com:8443", "https://ports.example", "https://example.com:99999", "https://[::1"),
        *("https://app.example/charts2", "https://app.example/", "http://app.example/charts/"),
        *("https://app.example/charts/../admin", "https://app.example/charts/%2e%2e/admin"),
        *("https://app.example/charts/%252e%252e/admin", "https://app.example/charts/%5c..%5cadmin"),
        *(
            "https://example.com/a b",
            "https://example.com/\r\nSet-Cookie: x",
            "https://exämple.com",
            " https://example.com",
        ),
        "https://example.com/" + "a" * 2048,
    ],
)
def test_everything_else_is_not(target: str) -> None:
    assert not is_allowed(target, RULES)


def test_without_rules_nothing_is_allowed() -> None:
    assert not is_allowed("https://example.com", ())


@pytest.mark.parametrize(
    ("rule", "good"), [("example.com", True), ("https://a.example/b", True), ("a b", False), ("a/b", False)]
)
def test_rules_that_cannot_be_meant_are_known(rule: str, good: bool) -> None:
    assert is_rule(rule) is good
