"""Finding signals by the words of a person or a model, and telling one as text.

Words are looked for in what names a signal (its symbol in any spelling, action, outcome, timeframe, engine) and in its
reasoning, among the signals of the symbols that the words name and the newest of all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from stateful_engine.domain.symbols import canonical_symbol
from stateful_engine.domain.timeframes import canonical_timeframe

if TYPE_CHECKING:
    from stateful_engine.services.state_manager import StateManager

Signal = Mapping[str, Any]

NEWEST = 200
PER_SYMBOL = 50
MOST_WORDS = 8
MOST_RESULTS = 20
NAMED = 10
"""How much more a word counts that names a signal than one in its reasoning."""

_WORD = re.compile(r"[^\s,;!?\"'()]+")
_SIGNAL_ID = re.compile(r"sig_[0-9a-f]{12}_[0-9]{9,11}")
_NAMES = ("symbol", "symbol_raw", "timeframe", "action", "outcome", "source_engine", "market_conditions", "ai_model")
_GENERAL = frozenset(
    "a about all and any are best did do find for from get give how in is last latest list me my new newest of on our "
    "recent recently show signal signals tell the trade trades trading was were what which with".split()
)
_FACTS = ("entry_price", "stop_loss", "take_profit", "risk_reward_ratio", "confidence", "pnl_percentage", "r_multiple")


def search(signals: StateManager, query: str) -> list[dict[str, Any]]:
    """The signals that fit the words best, at most 20, newest first among equals; general words find the newest."""
    words = list(dict.fromkeys(_WORD.findall(query.lower())))
    named = next((word for word in words if _SIGNAL_ID.fullmatch(word)), None)
    if named is not None:
        found = signals.get_signal(named)
        return [] if found is None else [found]
    wanted = [word for word in words if word not in _GENERAL][:MOST_WORDS]
    candidates = _candidates(signals, wanted)
    if not wanted:
        return candidates[:MOST_RESULTS]
    scored = [(_score(signal, wanted), signal) for signal in candidates]
    ranked = sorted((one for one in scored if one[0]), key=lambda one: -one[0])
    return [signal for _, signal in ranked][:MOST_RESULTS]


def _candidates(signals: StateManager, words: Iterable[str]) -> list[dict[str, Any]]:
    """Signals of the symbols that the words may name, and the newest, newest first."""
    symbols = dict.fromkeys(symbol for word in words if (symbol := canonical_symbol(word)) is not None)
    found: dict[str, dict[str, Any]] = {}
    for filters, limit in [*(({"symbol": symbol}, PER_SYMBOL) for symbol in symbols), ({}, NEWEST)]:
        page = signals.signal_page(signals.signal_filters(days=0, **filters), None, limit)
        found.update((str(signal["signal_id"]), signal) for signal in page.items)
    return sorted(found.values(), key=lambda signal: str(signal["created_at"]), reverse=True)


def _score(signal: Signal, words: Iterable[str]) -> int:
    names = {str(signal[name]).lower() for name in _NAMES if signal.get(name)}
    reasons = set(_WORD.findall(str(signal.get("ai_reasoning") or "").lower()))
    return sum(NAMED if _names(word, names) else word in reasons for word in words)


def _names(word: str, names: Iterable[str]) -> bool:
    spellings = {word, str(canonical_symbol(word)).lower(), str(canonical_timeframe(word)).lower()}
    return any(spelling in name if len(spelling) > 2 else spelling == name for spelling in spellings for name in names)


def title(signal: Signal) -> str:
    """One line that says which signal this is."""
    what = [signal.get("action"), signal.get("symbol"), signal.get("timeframe")]
    said = " ".join(str(word) for word in what if word)
    return f"{said}: {signal['outcome']} ({str(signal['created_at'])[:16]} UTC)"


def told(signal: Signal, timeline: Iterable[Mapping[str, Any]]) -> str:
    """The signal and what happened to it, as lines of text."""
    facts = [f"{name.replace('_', ' ')}: {signal[name]}" for name in _FACTS if signal.get(name) is not None]
    lines = [title(signal), f"signal id: {signal['signal_id']}", *facts]
    if signal.get("source_engine"):
        lines.append(f"engine: {signal['source_engine']}")
    if signal.get("ai_reasoning"):
        lines += ["", str(signal["ai_reasoning"])]
    return "\n".join([*lines, "", "What happened:", *(_happened(entry) for entry in timeline)])


def _happened(entry: Mapping[str, Any]) -> str:
    data = entry["data"] if isinstance(entry.get("data"), Mapping) else {}
    details = [data.get(name) for name in ("interaction_type", "interaction_source", "endpoint", "outcome")]
    return f"- {entry.get('at')} {entry['kind']} {' '.join(str(one) for one in details if one)}".rstrip()
