"""A signal that is handed over is taken as it is meant, or refused with every fault at once."""

from __future__ import annotations

from typing import Any

import pytest

from stateful_engine.domain.extraction import extract_one
from stateful_engine.errors import InvalidInputError, MalformedRequestError

GUIDE = {
    "symbol": "BTCUSDT",
    "timeframe": "1H",
    "action": "BUY",
    "confidence": 85.5,
    "entry_price": 45000.0,
    "take_profit": 46500.0,
    "stop_loss": 44200.0,
    "risk_reward_ratio": 1.8,
    "ai_reasoning": "Strong bullish momentum...",
    "smc_analysis": {"order_blocks": ["45000-45200"], "fvg": "44800-45000", "choch": True},
    "market_conditions": "BULLISH",
}


def faults(fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidInputError) as caught:
        extract_one(fields, strict=True)
    assert caught.value.message.endswith("Correct every value named in `errors` and send the signal again.")
    return {fault.pointer: fault.code for fault in caught.value.errors}


def test_the_signal_of_the_guide_is_taken_field_by_field() -> None:
    signal = extract_one(GUIDE, strict=True)
    assert {name: getattr(signal, name) for name in GUIDE} == GUIDE
    assert signal.extra == {"take_profits": [46500.0]}


def test_flat_and_nested_forms_are_the_same_signal() -> None:
    assert extract_one({"signal_data": GUIDE, "source": "ChatGPT"}) == extract_one(GUIDE)
    assert extract_one({"signal": GUIDE}) == extract_one(GUIDE)


def test_spellings_fold_as_in_answers_of_views() -> None:
    signal = extract_one(
        {"pair": "btc-usdt", "direction": "long", "entry": "$45,000", "sl": 44000, "tp1": 46000, "tf": "M15"}
    )
    assert (signal.symbol, signal.symbol_raw, signal.action, signal.timeframe) == ("BTCUSDT", "btc-usdt", "BUY", "15m")
    assert (signal.entry_price, signal.stop_loss, signal.take_profit) == (45000.0, 44000.0, 46000.0)


def test_unknown_fields_go_to_extra_as_they_were_given() -> None:
    fields = {**GUIDE, "session": "London", "tags": ["a", {"b": float("inf")}], "extra": {"desk": 7}, "nothing": None}
    assert extract_one(fields, strict=True).extra == {
        "take_profits": [46500.0],
        "session": "London",
        "tags": ["a", {"b": None}],
        "desk": 7,
    }


def test_fields_without_end_are_kept_only_up_to_a_limit() -> None:
    assert len(extract_one({"action": "BUY", **{f"field{index}": index for index in range(1000)}}).extra) == 200


def test_a_second_spelling_of_a_field_is_not_lost() -> None:
    signal = extract_one(
        {"action": "BUY", "ai_reasoning": "first", "reason": "second", "score": "A+", "confidence": 70}
    )
    assert signal.ai_reasoning == "first"
    assert signal.extra == {"reason": "second", "score": "A+"}


def test_the_client_reference_and_the_engine_have_their_columns() -> None:
    signal = extract_one(
        {"action": "hold", "client_ref": "r-1", "source_engine": "sharp", "ai_model": "m", "prompt_version": 3}
    )
    assert (signal.client_ref, signal.source_engine, signal.ai_model, signal.prompt_version) == (
        "r-1",
        "sharp",
        "m",
        "3",
    )


def test_all_faults_are_told_at_once_with_their_places() -> None:
    assert faults(
        {
            "action": "MAYBE",
            "symbol": ["BTCUSDT"],
            "timeframe": {"h": 1},
            "confidence": 150,
            "entry_price": float("inf"),
            "take_profit": [46000, -1],
            "stop_loss": "below the swing",
            "risk_reward_ratio": "good",
            "ai_reasoning": "x" * 100_001,
            "smc_analysis": 5,
            "source_engine": "e" * 300,
            "ai_model": {"name": "m"},
            "client_ref": True,
        }
    ) == {
        "/action": "UNKNOWN_ACTION",
        "/symbol": "WRONG_TYPE",
        "/timeframe": "WRONG_TYPE",
        "/confidence": "OUT_OF_RANGE",
        "/entry_price": "NOT_FINITE",
        "/take_profit": "NEGATIVE",
        "/stop_loss": "NOT_A_NUMBER",
        "/risk_reward_ratio": "NOT_A_NUMBER",
        "/ai_reasoning": "TOO_LONG",
        "/smc_analysis": "WRONG_TYPE",
        "/source_engine": "TOO_LONG",
        "/ai_model": "WRONG_TYPE",
        "/client_ref": "WRONG_TYPE",
    }


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("confidence", -0.5, "OUT_OF_RANGE"),
        ("confidence", 100.01, "OUT_OF_RANGE"),
        ("confidence", "150%", "OUT_OF_RANGE"),
        ("confidence", True, "NOT_A_NUMBER"),
        ("confidence", "quite sure", "NOT_A_NUMBER"),
        ("confidence", [80], "WRONG_TYPE"),
        ("confidence", float("nan"), "NOT_FINITE"),
        pytest.param("confidence", 10**5000, "NOT_FINITE", id="a confidence without end"),
        ("entry_price", "Infinity", "NOT_FINITE"),
        ("entry_price", False, "NOT_A_NUMBER"),
        ("entry_price", -1, "NEGATIVE"),
        ("entry_price", 1e18, "OUT_OF_RANGE"),
        ("entry_price", {"when": "now"}, "NOT_A_NUMBER"),
        ("risk_reward_ratio", float("inf"), "NOT_FINITE"),
        ("risk_reward_ratio", [1], "WRONG_TYPE"),
        ("symbol", "B" * 65, "TOO_LONG"),
        ("symbol", "unknown", "INVALID_SYMBOL"),
        ("timeframe", "1H" * 20, "TOO_LONG"),
        ("timeframe", 1.5, "WRONG_TYPE"),
        ("ai_reasoning", 5, "WRONG_TYPE"),
        pytest.param("action", 10**5000, "UNKNOWN_ACTION", id="a number without end"),
        ("action", "x" * 10_000, "UNKNOWN_ACTION"),
    ],
)
def test_a_value_that_cannot_be_meant_is_a_fault(field: str, value: object, code: str) -> None:
    assert faults({**GUIDE, field: value}) == {f"/{field}": code}


def test_nesting_without_end_is_a_fault() -> None:
    deep: dict[str, object] = {}
    for _ in range(100):
        deep = {"deeper": deep}
    assert faults({**GUIDE, "smc_analysis": deep, "ai_reasoning": [deep]}) == {
        "/smc_analysis": "TOO_COMPLEX",
        "/ai_reasoning": "TOO_COMPLEX",
    }


def test_faults_of_a_nested_signal_point_into_it() -> None:
    assert faults({"signal_data": {"symbol": "BTCUSDT", "confidence": "?"}}) == {
        "/signal_data/action": "MISSING_ACTION",
        "/signal_data/confidence": "NOT_A_NUMBER",
    }


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("confidence", 0.85, 85.0),
        ("confidence", "85%", 85.0),
        ("confidence", 0, 0.0),
        ("confidence", 100, 100.0),
        ("confidence", {"score": 71}, 71.0),
        ("confidence", "HIGH", None),
        ("confidence", None, None),
        ("entry_price", 0, None),
        ("entry_price", "45,000 - 45,200", 45100.0),
        ("take_profit", [46000, {"price": 47000}], 46000.0),
        ("take_profit", "46000, 47000", 46000.0),
        ("stop_loss", {"price": 44000}, 44000.0),
        ("risk_reward_ratio", "1:2.5", 2.5),
        ("risk_reward_ratio", -0.5, -0.5),
        ("timeframe", 60, "1H"),
        ("timeframe", "swing", None),
    ],
)
def test_a_value_in_another_form_is_no_fault(field: str, value: object, kept: object) -> None:
    assert getattr(extract_one({**GUIDE, field: value}, strict=True), field) == kept


def test_a_lenient_signal_drops_what_cannot_be_meant() -> None:
    signal = extract_one(
        {"action": "sell", "confidence": 150, "entry_price": "soon", "symbol": 5, "stop_loss": float("nan")}
    )
    assert (signal.action, signal.confidence, signal.entry_price, signal.symbol, signal.stop_loss) == (
        "SELL",
        None,
        None,
        None,
        None,
    )
    assert signal.extra["flags"] == ["confidence_out_of_range"]


@pytest.mark.parametrize(
    "fields", [{}, {"symbol": "BTCUSDT"}, {"action": "DANCE"}, {"action": None}, {"signal_data": {}}]
)
def test_without_a_usable_action_a_lenient_signal_is_refused_too(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError, match="say BUY, SELL or HOLD"):
        extract_one(fields)


@pytest.mark.parametrize("body", [None, [], "BUY", 5])
def test_what_is_no_object_is_malformed(body: Any) -> None:
    with pytest.raises(MalformedRequestError, match="must be an object"):
        extract_one(body)


def test_a_missing_symbol_is_taken_from_the_request() -> None:
    assert extract_one({"action": "BUY"}, request={"symbol": "ETH/USDT"}).symbol == "ETHUSDT"
