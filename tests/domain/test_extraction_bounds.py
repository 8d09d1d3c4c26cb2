"""Whatever a view answers with, extraction does not raise, ends soon and yields only what can be stored."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from decimal import Decimal
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stateful_engine.domain.extraction import ExtractedSignal, extract
from stateful_engine.domain.spellings import shape_of
from stateful_engine.domain.vocabulary import Action

_NUMBER_FIELDS = ("confidence", "entry_price", "take_profit", "stop_loss", "risk_reward_ratio")

_KEYS = (
    "signal signals data result recommendation recommendations decision prediction analysis technical_analysis "
    "trade_setup risk_management metadata action direction side type symbol timeframe tf confidence score entry "
    "entry_zone entry_price current_price take_profit tp1 targets stop_loss risk_reward reasoning reason smc_analysis "
    "indicators market_conditions engine id strength strategy status success error ticket position BTCUSDT results "
    "final_signal leverage client_ref model confidence_level"
).split()
words = st.sampled_from(
    ["BUY", "sell", "HOLD", "STRONG_BUY", "UNKNOWN", "rejected", "success", "BTC/USDT", "1H", "M15", "85%", "$4,500.5"]
)
numbers = st.integers(-3, 200) | st.floats() | st.sampled_from([10**400, -(10**400), 10**30, 2**63, 45000])
scalars = st.one_of(words, words, numbers, st.none(), st.booleans(), st.text(max_size=4))
keys = st.sampled_from(_KEYS)
bodies = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=20,
)


def assert_storable(signal: ExtractedSignal) -> None:
    assert signal.action in {action.value for action in Action}
    assert type(signal.action) is str
    assert signal.confidence is None or 0.0 <= signal.confidence <= 100.0
    for name in _NUMBER_FIELDS:
        number = getattr(signal, name)
        assert number is None or (type(number) is float and math.isfinite(number))
    text = json.dumps([signal.extra, signal.smc_analysis, signal.technical_indicators], allow_nan=False)
    assert len(text) < 10_000_000


@settings(max_examples=200)
@given(body=bodies, request=st.dictionaries(keys, scalars, max_size=4))
def test_any_json_yields_only_values_that_can_be_stored(body: object, request: dict[str, object]) -> None:
    found = extract(body, request=request)
    for signal in found.signals:
        assert_storable(signal)
    assert len(found.signals) <= 100
    assert all(note.reason for note in found.notes)


@settings(max_examples=100)
@given(fields=st.dictionaries(keys, bodies, max_size=10), action=words)
def test_any_fields_beside_a_verb_yield_only_values_that_can_be_stored(fields: dict[str, object], action: str) -> None:
    for signal in extract({"signal": {**fields, "action": action}}).signals:
        assert_storable(signal)


@settings(max_examples=50)
@given(body=bodies, path=st.sampled_from(["a", "data.signal", "signals.0", "signal.action", "", "..", "data.5.x"]))
def test_any_mapping_of_any_body_yields_only_values_that_can_be_stored(body: object, path: str) -> None:
    for mapping in ({"action": path}, {"signals": path, "symbol": path}, {"entry_price": path}):
        for signal in extract(body, mapping=mapping).signals:
            assert_storable(signal)


def nested(depth: int, key: str) -> dict[str, object]:
    body: dict[str, object] = {"action": "BUY", "confidence": 80}
    for _ in range(depth):
        body = {key: body}
    return body


@pytest.mark.parametrize("key", ["data", "signal", "recommendation", "result", "analysis", "signals"])
def test_deep_nesting_is_given_up_and_not_followed(key: str) -> None:
    assert extract(nested(20_000, key)).signals == ()
    assert (
        len(extract({"signal": {"action": "BUY", "reasoning": nested(20_000, key), "smc": nested(50, key)}}).signals)
        == 1
    )


def test_a_body_yields_at_most_a_hundred_signals_and_says_so() -> None:
    body = {"signals": [{"symbol": f"C{index}", "action": "BUY", "confidence": 50} for index in range(5000)]}
    found = extract(body)
    assert [signal.symbol for signal in found.signals] == [f"C{index}" for index in range(100)]
    assert found.notes[-1].pointer == "/signals/100"
    assert "100" in found.notes[-1].reason


def test_signals_keyed_by_symbol_are_capped_as_well() -> None:
    assert len(extract({"signals": {f"C{index}USDT": {"signal": "BUY"} for index in range(500)}}).signals) == 100


def test_huge_bodies_take_no_longer_than_their_size_explains() -> None:
    began = perf_counter()
    assert extract({"signals": [{"signals": [{"x": 1}] * 100}] * 3000}).signals == ()
    assert extract({"data": [{"open": 1, "high": 2}] * 100_000}).signals == ()
    assert extract({f"key{index}": {"signal": index} for index in range(20_000)}).signals == ()
    megabyte = "BUY " * 262_144
    found = extract({"signal": {"action": "BUY", "symbol": megabyte, "reasoning": megabyte, "entry_price": megabyte}})
    assert perf_counter() - began < 5.0
    assert found.signals[0].symbol is None
    assert found.signals[0].entry_price is None
    assert len(found.signals[0].ai_reasoning or "") == 20_000


def test_a_verb_of_a_megabyte_is_no_verb() -> None:
    assert extract({"signal": {"action": "BUY " * 262_144}}).signals == ()


def test_values_that_views_hold_before_they_are_encoded_are_read_as_well() -> None:
    body = {
        "signal": {
            "action": Action.SELL,
            "symbol": "BTCUSDT",
            "entry_price": Decimal("45000.5"),
            "targets": (44000, Decimal("43000")),
            "confidence": Decimal("0.8"),
            "strength": Action.BUY,
            "indicators": {
                "of": Action.BUY,
                "at": datetime(2026, 1, 1, tzinfo=timezone.utc),
                5: float("nan"),
                "odd": object(),
            },
            "smc": ({"level": Decimal("1.5")},),
        }
    }
    signal = extract(body).signals[0]
    assert_storable(signal)
    assert (signal.action, signal.entry_price, signal.confidence) == ("SELL", 45000.5, 80.0)
    assert signal.extra["take_profits"] == [44000.0, 43000.0]
    assert signal.technical_indicators == {
        "of": "BUY",
        "at": "2026-01-01T00:00:00+00:00",
        "5": None,
        "odd": None,
    }
    assert signal.smc_analysis == [{"level": 1.5}]


def test_one_bad_item_never_loses_its_neighbours() -> None:
    good = {"symbol": "BTCUSDT", "action": "BUY", "entry_price": 1.0}
    bad = [
        None,
        5,
        "BUY",
        [],
        {},
        {"action": {"x": 1}},
        {"action": "BUY", "symbol": [1], "confidence": "?"},
        {"error": "x"},
    ]
    found = extract({"signals": [*bad, good, *bad, {**good, "symbol": "ETHUSDT"}]})
    assert [signal.symbol for signal in found.signals if signal.symbol] == ["BTCUSDT", "ETHUSDT"]


def test_ever_new_keys_do_not_fill_the_memory_of_shapes() -> None:
    for index in range(3000):
        shape_of({f"key_{index}": 1, "action": 2})
    from stateful_engine.domain import spellings

    assert len(spellings._shapes) <= 1024
    shape_of({f"{index}": 1 for index in range(100)})
    assert tuple(f"{index}" for index in range(100)) not in spellings._shapes
