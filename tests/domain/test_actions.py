"""Verbs of advice fold to three; every other verb is no advice."""

from __future__ import annotations

import pytest

from stateful_engine.domain.actions import fold_action
from stateful_engine.domain.vocabulary import Action


@pytest.mark.parametrize(
    ("verbs", "action", "strength"),
    [
        (
            ["BUY", "buy", "Long", "BELI", "🟢 BUY", "BUY SIGNAL", "ENTER_LONG", "BUY_LIMIT", "buy stop"],
            Action.BUY,
            None,
        ),
        (
            ["STRONG_BUY", "strong buy", "Strong-Buy", "STRONGBUY", "STRONG BUY 🟢", "BUY (strong)"],
            Action.BUY,
            "STRONG",
        ),
        (["very strong buy", "Sangat Kuat Beli"], Action.BUY, "STRONG"),
        (["SELL", "short", "Jual", "GO SHORT", "🔴 sell"], Action.SELL, None),
        (["WEAK_SELL", "weaksell"], Action.SELL, "WEAK"),
        (["MODERATE_SELL"], Action.SELL, "MODERATE"),
        (["HOLD", "NEUTRAL", "WAIT", "NONE", "flat", "tahan", "Netral"], Action.HOLD, None),
    ],
)
def test_known_verbs_fold_with_their_strength(verbs: list[str], action: Action, strength: str | None) -> None:
    assert [fold_action(verb) for verb in verbs] == [(action, strength)] * len(verbs)


@pytest.mark.parametrize(
    "verb",
    [
        "UNKNOWN",
        "SELL_SETUP",
        "SELL_NOW",
        "BREAKOUT_BRACKET",
        "TRAILING_STOP",
        "BREAKEVEN",
        "Look for shorts",
        "EXIT_LONG",
        "CLOSE BUY",
        "BUY or SELL",
        "BUY/SELL",
        "WAIT_BUY",
        "NO_TRADE",
        "do not buy",
        "BULLISH",
        "STRONG",
        "long-term",
        "",
        "BUY" * 50,
        None,
        True,
        1,
        ["BUY"],
    ],
)
def test_every_other_verb_is_no_advice(verb: object) -> None:
    assert fold_action(verb) is None
