"""Verbs of advice: what hosts call buying, selling and holding, folded to the closed vocabulary."""

from __future__ import annotations

import re
from functools import lru_cache

from stateful_engine.domain.vocabulary import Action

_MAX_TEXT = 40
_VERBS = {
    **dict.fromkeys(("BUY", "LONG", "BELI"), Action.BUY),
    **dict.fromkeys(("SELL", "SHORT", "JUAL"), Action.SELL),
    **dict.fromkeys(("HOLD", "NEUTRAL", "WAIT", "NONE", "FLAT", "TAHAN", "TUNGGU", "NETRAL"), Action.HOLD),
}
_STRENGTHS = {
    **dict.fromkeys(("STRONG", "STRONGLY", "KUAT", "EXTREME", "ULTRA"), "STRONG"),
    **dict.fromkeys(("WEAK", "WEAKLY", "LEMAH", "SLIGHT", "MILD"), "WEAK"),
    **dict.fromkeys(("MODERATE", "MEDIUM"), "MODERATE"),
}
_SILENT = frozenset(
    {
        "VERY",
        "SANGAT",
        "SIGNAL",
        "SINYAL",
        "ACTION",
        "POSITION",
        "ENTRY",
        "ENTER",
        "OPEN",
        "GO",
        "LIMIT",
        "STOP",
        "MARKET",
    }
)
_WORD = re.compile(r"[^\W\d_]+")


def fold_action(raw: object) -> tuple[Action, str | None] | None:
    """Fold a verb to (BUY | SELL | HOLD, strength or None); None when the verb is not known, so there is no signal.

    Case, emoji and separators do not matter: `long`, `STRONG_BUY`, `Weak Sell` and a coloured dot before `BUY` fold.
    The strength is STRONG, WEAK, MODERATE or None. `TRAILING_STOP`, `SELL_SETUP`, `UNKNOWN` and prose do not fold.
    """
    if isinstance(raw, str) and len(raw) <= _MAX_TEXT:
        return _fold(str.__str__(raw))
    return None


@lru_cache(maxsize=1024)
def _fold(raw: str) -> tuple[Action, str | None] | None:
    verb: Action | None = None
    strength: str | None = None
    for word in _WORD.findall(raw.upper()):
        meant = _VERBS.get(word)
        if meant is not None:
            if verb not in (None, meant):
                return None
            verb = meant
        elif word in _STRENGTHS:
            strength = _STRENGTHS[word]
        elif (joined := _joined_strength(word)) is not None:
            verb, strength = joined
        elif word not in _SILENT:
            return None
    return None if verb is None else (verb, strength)


def _joined_strength(word: str) -> tuple[Action, str] | None:
    """Read `STRONGBUY` and `WEAKSELL`, which have no separator to split on."""
    for spelled, strength in _STRENGTHS.items():
        if word.startswith(spelled) and (meant := _VERBS.get(word[len(spelled) :])) is not None:
            return meant, strength
    return None
