"""Doubts are named, and the signal is kept as it was given."""

from __future__ import annotations

import pytest

from stateful_engine.domain.sanity import sanity_flags


@pytest.mark.parametrize("action", ["BUY", "SELL", "HOLD"])
def test_a_sound_signal_raises_no_doubt(action: str) -> None:
    target, stop = (110.0, 95.0) if action == "BUY" else (90.0, 105.0)
    assert sanity_flags(action, entry_price=100.0, take_profit=target, stop_loss=stop, confidence=100.0) == []


def test_levels_on_the_wrong_side_are_named_one_by_one() -> None:
    assert sanity_flags("BUY", entry_price=100.0, take_profit=99.0, stop_loss=95.0) == ["take_profit_wrong_side"]
    assert sanity_flags("BUY", entry_price=100.0, take_profit=110.0, stop_loss=100.0) == ["stop_loss_wrong_side"]
    assert sanity_flags("SELL", entry_price=100.0, take_profit=101.0, stop_loss=99.0) == [
        "take_profit_wrong_side",
        "stop_loss_wrong_side",
    ]


def test_without_an_entry_the_price_of_the_moment_decides() -> None:
    assert sanity_flags("BUY", take_profit=99.0, current_price=100.0) == ["take_profit_wrong_side"]


def test_without_any_price_only_crossed_levels_are_doubtful() -> None:
    assert sanity_flags("BUY", take_profit=110.0, stop_loss=90.0) == []
    assert sanity_flags("SELL", take_profit=110.0, stop_loss=90.0) == ["take_profit_wrong_side", "stop_loss_wrong_side"]
    assert sanity_flags("SELL", take_profit=110.0) == []


def test_holding_has_no_sides() -> None:
    assert sanity_flags("HOLD", entry_price=100.0, take_profit=90.0, stop_loss=110.0) == []


def test_negative_reward_confidence_out_of_range_and_a_far_entry_are_named() -> None:
    assert sanity_flags("BUY", risk_reward_ratio=-0.1) == ["risk_reward_negative"]
    assert sanity_flags("BUY", confidence=150.0) == ["confidence_out_of_range"]
    assert sanity_flags("BUY", confidence=-1.0) == ["confidence_out_of_range"]
    assert sanity_flags("BUY", entry_price=151.0, current_price=100.0) == ["entry_far_from_price"]
    assert sanity_flags("BUY", entry_price=150.0, current_price=100.0) == []
    assert sanity_flags("BUY", entry_price=49.0, current_price=100.0) == ["entry_far_from_price"]
