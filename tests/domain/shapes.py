"""Bodies of real apps with the signals that are in them, and how far an extraction agrees."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from stateful_engine.domain.extraction import ExtractedSignal

SHAPES = Path(__file__).resolve().parents[2].parent / "shared" / "shapes"
_FIELDS = ("confidence", "entry_price", "take_profit", "stop_loss")


@dataclass(frozen=True, slots=True)
class Truth:
    """One body, what was asked for, and what is in it; `alternatives` are the other answers that count as right."""

    name: str
    body: object
    expected: list[dict[str, object]]
    request: dict[str, object] = field(default_factory=dict)
    alternatives: dict[str, list[object]] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """How many signals came out right, wrong, not at all, or out of nothing."""

    right: int = 0
    wrong: int = 0
    lost: int = 0
    false: int = 0

    def __str__(self) -> str:
        return f"{self.right:5} right {self.wrong:5} wrong {self.lost:5} lost {self.false:5} false positives"


def shared_truths(*, with_request: bool) -> list[Truth]:
    """Read the bodies beside this checkout; none in a clone that stands alone. Streams are the door's."""
    if not (SHAPES / "expected.json").exists():
        return []
    shapes = json.loads((SHAPES / "expected.json").read_text(encoding="utf-8"))["shapes"]
    return [
        _truth(name, shape, with_request=with_request) for name, shape in shapes.items() if not shape.get("streaming")
    ]


def _truth(name: str, shape: dict[str, object], *, with_request: bool) -> Truth:
    asked = shape["request"]
    request = {**asked.get("args", {}), **asked.get("json", {})} if with_request else {}  # type: ignore[attr-defined]
    expected = shape["signals"]
    if with_request:
        expected = shape.get("signals_with_request", expected)
    alternatives = {key.removesuffix("_any_of"): value for key, value in shape.items() if key.endswith("_any_of")}
    body = json.loads((SHAPES / name).read_text(encoding="utf-8"))
    return Truth(name, body, expected, request, alternatives)  # type: ignore[arg-type]


def differences(truth: Truth, found: list[ExtractedSignal]) -> list[str]:
    """Name every field of every signal that is not as expected."""
    if len(found) != len(truth.expected):
        return [f"{len(found)} signals instead of {len(truth.expected)}"]
    return [
        f"signal {index}: {difference}"
        for index, (expected, signal) in enumerate(zip(truth.expected, found, strict=True))
        for difference in _differences(expected, signal, truth=truth, index=index)
    ]


def _differences(expected: dict[str, object], signal: ExtractedSignal, *, truth: Truth, index: int) -> list[str]:
    wrong = []
    if "symbol" in expected and not _same_word(expected["symbol"], signal.symbol, signal.symbol_raw):
        wrong.append(f"symbol {signal.symbol} instead of {expected['symbol']}")
    if "timeframe" in expected and not _same_word(
        expected["timeframe"], signal.timeframe, signal.extra.get("timeframe_raw")
    ):
        wrong.append(f"timeframe {signal.timeframe} instead of {expected['timeframe']}")
    if expected["action"] != signal.action:
        wrong.append(f"action {signal.action} instead of {expected['action']}")
    for name in _FIELDS:
        allowed = _allowed(expected, name, truth=truth, index=index)
        if name in expected and getattr(signal, name) not in allowed:
            wrong.append(f"{name} {getattr(signal, name)} instead of {allowed}")
    for name in ("strength", "confidence_label", "external_id", "entry_range", "flags"):
        if name in expected and signal.extra.get(name) != expected[name]:
            wrong.append(f"{name} {signal.extra.get(name)} instead of {expected[name]}")
    targets = signal.extra.get("take_profits", [])
    if "take_profits" in expected and targets not in _allowed(expected, "take_profits", truth=truth, index=index):
        wrong.append(f"take_profits {targets} instead of {expected['take_profits']}")
    if "reasoning" in expected and signal.ai_reasoning != expected["reasoning"]:
        wrong.append(f"reasoning {signal.ai_reasoning}")
    return wrong


def _same_word(expected: object, *given: object) -> bool:
    """Compare without case with the stored or the raw form; an expected None means that there must be none."""
    if expected is None:
        return given[0] is None
    return str(expected).lower() in {str(word).lower() for word in given if word is not None}


def _allowed(expected: dict[str, object], name: str, *, truth: Truth, index: int) -> list[object]:
    """List the right values: the expected one, alternatives of the one signal of its kind, or of each signal."""
    allowed = [expected.get(name)]
    own = expected.get(f"{name}_any_of")
    for alternative in [*truth.alternatives.get(name, []), *(own if isinstance(own, list) else [])]:
        is_per_signal = (
            isinstance(alternative, list) and len(alternative) == len(truth.expected) and len(alternative) > 1
        )
        allowed.append(alternative[index] if is_per_signal and name != "take_profits" else alternative)
    return allowed


def count(truth: Truth, found: list[ExtractedSignal], tally: Tally) -> None:
    """Add one body to a tally."""
    wrong = {int(text.split()[1].rstrip(":")) for text in differences(truth, found) if text.startswith("signal ")}
    common = min(len(found), len(truth.expected))
    if len(found) != len(truth.expected):
        pairs = Truth(truth.name, truth.body, truth.expected[:common], truth.request, truth.alternatives)
        wrong = {int(text.split()[1].rstrip(":")) for text in differences(pairs, found[:common])}
    tally.right += common - len(wrong)
    tally.wrong += len(wrong)
    tally.lost += len(truth.expected) - common
    tally.false += len(found) - common
