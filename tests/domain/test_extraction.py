"""Signals are found where hosts put them, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stateful_engine.domain.extraction import extract
from tests.domain.bodies_of_fields import FIELDS
from tests.domain.bodies_with_signals import CONTAINERS
from tests.domain.bodies_without_signals import DECOYS, REFUSALS, UNKNOWN_VERBS
from tests.domain.shapes import Tally, Truth, count, differences, shared_truths

TRUTHS = [
    *(pytest.param(truth, id=f"{truth.name} alone") for truth in shared_truths(with_request=False)),
    *(pytest.param(truth, id=f"{truth.name} and its request") for truth in shared_truths(with_request=True)),
    *(pytest.param(truth, id=truth.name) for truth in (*CONTAINERS, *FIELDS)),
]
_UNSPOKEN = {"listed names", "a numeric signal line", "a true signal", "a bias"}
WITHOUT = {**REFUSALS, **UNKNOWN_VERBS, **DECOYS}


@pytest.mark.parametrize("truth", TRUTHS)
def test_a_body_yields_exactly_the_signals_in_it(truth: Truth) -> None:
    found = extract(truth.body, request=truth.request)
    assert differences(truth, list(found.signals)) == [], found.notes
    assert found.recognised or not truth.expected


@pytest.mark.parametrize("name", WITHOUT)
def test_a_body_without_a_signal_yields_none(name: str) -> None:
    found = extract(WITHOUT[name], request={"symbol": "BTCUSDT", "timeframe": "1H"})
    assert found.signals == ()


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_understood_and_not_counted_as_an_unknown_shape(name: str) -> None:
    assert extract(REFUSALS[name]).recognised


@pytest.mark.parametrize("name", [name for name in UNKNOWN_VERBS if name not in _UNSPOKEN])
def test_an_unknown_verb_is_noted_with_its_place(name: str) -> None:
    found = extract(UNKNOWN_VERBS[name])
    assert found.recognised
    assert any("buying, selling or holding" in note.reason or "advice" in note.reason for note in found.notes)


@pytest.mark.parametrize("name", ["health", "performance", "components", "exits", "a summary", "counts of signals"])
def test_an_object_that_has_no_known_container_is_counted_as_unrecognised(name: str) -> None:
    assert not extract(DECOYS[name]).recognised


def test_a_container_without_any_verb_is_counted_as_unrecognised_and_noted() -> None:
    found = extract({"status": "success", "signal": {"symbol": "BTCUSDT", "buy_now": True}})
    assert not found.recognised
    assert [note.pointer for note in found.notes] == ["/signal"]


def tables() -> Iterator[tuple[str, list[Truth]]]:
    own = [*CONTAINERS, *FIELDS, *(Truth(name, body, []) for name, body in WITHOUT.items())]
    yield "shared shapes, body alone", shared_truths(with_request=False)
    yield "shared shapes, with the request", shared_truths(with_request=True)
    yield "own bodies", own


def test_the_table_of_right_wrong_lost_and_false_is_clean(
    capsys: pytest.CaptureFixture[str], pytestconfig: pytest.Config
) -> None:
    lines = []
    for title, truths in tables():
        tally = Tally()
        for truth in truths:
            count(truth, list(extract(truth.body, request=truth.request).signals), tally)
        lines.append(f"{title:34} {len(truths):4} bodies {tally}")
        assert (tally.wrong, tally.lost, tally.false) == (0, 0, 0)
        assert tally.right == sum(len(truth.expected) for truth in truths)
    with capsys.disabled():
        pytestconfig.get_terminal_writer().write("\n" + "\n".join(lines) + "\n")
