"""What extraction hands over: signals as plain values, and notes on what was left out and why."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ExtractedSignal:
    """One signal with its fields folded; None where the host said nothing that can be meant. Treat it as a value.

    `symbol` and `timeframe` are canonical, `symbol_raw` is the given form; `action` is BUY, SELL or HOLD;
    `confidence` is 0–100; prices are positive floats. `extra` holds JSON values only: `take_profits`, `strength`,
    `confidence_label`, `entry_range`, `entry_source`, `timeframe_raw`, `external_id`, `flags` (see `domain.sanity`)
    and, for directly given signals, every field without a column.
    """

    # Not frozen: it is made in the host's request, where a frozen one of this size costs ten times as much.

    symbol: str | None
    symbol_raw: str | None
    timeframe: str | None
    action: str
    confidence: float | None = None
    entry_price: float | None = None
    take_profit: float | None = None
    stop_loss: float | None = None
    risk_reward_ratio: float | None = None
    ai_reasoning: str | None = None
    smc_analysis: object | None = None
    technical_indicators: object | None = None
    market_conditions: str | None = None
    source_engine: str | None = None
    ai_model: str | None = None
    prompt_version: str | None = None
    client_ref: str | None = None
    extra: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Note:
    """Why something in a body became no signal, or why a value was dropped: a JSON pointer and a reason."""

    pointer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Extraction:
    """The signals found in one body, what was left out and why, and whether the body's shape was understood.

    `recognised` is False only when nothing in the body is a known container or verdict. A refusal, an error, an
    empty listing and an explicit null are recognised: they say that there is no signal.
    """

    signals: tuple[ExtractedSignal, ...] = ()
    notes: tuple[Note, ...] = ()
    recognised: bool = True


def pointer_of(path: tuple[object, ...]) -> str:
    """Write a path as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(step)[:80].replace("~", "~0").replace("/", "~1") for step in path)
