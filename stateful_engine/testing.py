"""Checks for the tests of hosts; needs no test framework."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stateful_engine.api.actions_lint import lint


def assert_actions_schema(document: Mapping[str, Any] | str | bytes) -> None:
    """Fail with every reason why ChatGPT would not import this OpenAPI document (a mapping, or JSON text)."""
    given = json.loads(document) if isinstance(document, (str, bytes)) else document
    problems = lint(given)
    if problems:
        raise AssertionError("\n".join(["ChatGPT Actions would not take this document:", *map(str, problems)]))
