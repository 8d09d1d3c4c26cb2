"""The shared vectors of experiments, group by group; empty in a clone without them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import shared_cases


def truth(group: str) -> list[Any]:
    """The cases of a group as pytest parameters named by their id."""
    groups = (shared_cases("truth/experiment_cases.json") or {"groups": {}})["groups"]
    return [pytest.param(case, id=case["id"]) for case in groups.get(group, {"cases": []})["cases"]]
