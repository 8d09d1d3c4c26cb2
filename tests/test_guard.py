"""The guard: what fails in passing is counted and logged once, and the host goes on."""

from __future__ import annotations

import logging
import sys

import pytest

from stateful_engine.errors import SpoolFullError
from stateful_engine.guard import Guard


def test_a_failure_inside_is_swallowed_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard()
    with caplog.at_level(logging.WARNING, logger="stateful_engine"):
        for _ in range(3):
            with guard("read_the_body"):
                raise ValueError("secret payload")
    assert guard.snapshot() == {"failed_read_the_body": 3}
    assert len(caplog.records) == 1
    assert "read the body" in caplog.text
    assert "secret payload" not in caplog.text


def test_a_fault_of_the_installation_is_logged_with_its_remedy(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard()
    with guard("record_a_call"):
        raise SpoolFullError("the spool cannot be written; change its owner or set STATEFUL_SPOOL_DIR")
    assert "could not record a call (the spool cannot be written; change its owner" in caplog.text


def test_failures_of_another_kind_or_place_are_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard()
    for place, error in (("a", ValueError()), ("a", KeyError()), ("b", ValueError())):
        with guard(place):
            raise error
    assert len(caplog.records) == 3


@pytest.mark.parametrize("flow", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_failure_passes_through(flow: type[BaseException]) -> None:
    guard = Guard()
    with pytest.raises(flow), guard("anything"):
        raise flow
    assert guard.snapshot() == {}


def test_what_succeeds_leaves_no_trace() -> None:
    guard = Guard()
    with guard("anything"):
        guard.count("unrecognised_shapes")
    assert guard.snapshot() == {"unrecognised_shapes": 1}


def test_an_attempt_gives_what_was_made_or_counts_the_failure() -> None:
    guard = Guard()
    assert guard.attempt("read_a_number", int, "7") == 7
    assert guard.attempt("read_a_number", int, "seven") is None
    assert guard.snapshot() == {"failed_read_a_number": 1}
    with pytest.raises(SystemExit):
        guard.attempt("leave", sys.exit, 1)
