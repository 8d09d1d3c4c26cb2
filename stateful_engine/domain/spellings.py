"""The words hosts use: which keys of a dict say what, best spelling first.

A `Shape` lists the known keys of one dict by slot. Views answer with the same keys again and again, so shapes are
remembered by the tuple of keys and locating and folding touch only keys that can mean something. A key can stand in
several slots: `signal` is a verb or a container, `analysis` a reasoning, a room with indicators or a wrapper; the
kind of the value decides.
"""

from __future__ import annotations

from collections.abc import Mapping

from stateful_engine.domain.recent import Recent

# Slots that most dicts leave empty; a dict's `Shape.rare` lets a reader pass by them all at once.
_RARE = frozenset(
    "smc indicators analysis market engine ai_model prompt_version client_ref external_id strength keep "
    "side_room".split()
)


class Shape(dict[str, tuple[str, ...]]):
    """The known keys of one dict: slot -> keys, best spelling first; `rare` names the seldom slots among them."""

    __slots__ = ("rare",)

    def __init__(self, slots: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__(slots)
        self.rare = _RARE & slots.keys()


_NUMBERS = range(1, 7)
_REMEMBERED = 1024
_REMEMBERED_KEYS = 64
_REMEMBERED_KEY_LENGTH = 64


def _numbered(*stems: str) -> str:
    return " ".join(f"{stem}{number}" for number in _NUMBERS for stem in stems)


_SLOTS = {
    # The fields of a signal.
    "symbol": "symbol pair ticker instrument trading_pair currency_pair inst_id market_symbol asset coin stock",
    "timeframe": "timeframe tf time_frame interval validity_timeframe chart_timeframe",
    "action": (
        "action signal direction trade_direction signal_direction trade_action recommended_action suggested_action "
        "sinyal aksi side recommendation primary_signal final_signal trading_signal trade_signal final_recommendation "
        "trading_recommendation trade_recommendation final_decision decision verdict prediction signal_type setup_type "
        "trade_type type"
    ),
    "confidence": (
        "confidence confidence_score confidence_level confidence_pct confidence_percent confidence_percentage "
        "ai_confidence signal_confidence final_confidence overall_confidence model_confidence probability score "
        "strength_score signal_score signal_strength"
    ),
    "entry": (
        "entry_price entry entry_point entry_level entry_zone entry_range entry_prices entries entry_levels "
        "entry_points suggested_entry suggested_entry_price recommended_entry optimal_entry ideal_entry"
    ),
    "price": "price current_price last_price market_price",
    "take_profit": (
        "take_profit tp take_profits tps take_profit_levels tp_levels take_profit_targets tp_targets "
        "take_profit_price tp_price takeprofit suggested_take_profit recommended_take_profit "
        f"{_numbered('take_profit_', 'take_profit', 'tp', 'tp_')} "
        "target_price target targets target_prices price_target price_targets profit_target profit_targets "
        f"{_numbered('target_', 'target', 'target_price_')}"
    ),
    "stop_loss": (
        "stop_loss sl stop stop_loss_price sl_price stop_price stoploss suggested_stop_loss recommended_stop_loss "
        "initial_stop_loss stop_level stop_loss_levels stop_losses"
    ),
    "risk_reward": "risk_reward_ratio risk_reward rr rr_ratio reward_risk_ratio reward_to_risk rrr",
    "reasoning": (
        "ai_reasoning reasoning reason reasons rationale explanation description commentary narrative summary comment "
        "analysis"
    ),
    "smc": "smc_analysis smc_summary smc_context smc",
    "indicators": "technical_indicators indicators technical_analysis confidence_factors",
    "market": (
        "market_conditions market_condition market_regime regime market_structure market_bias market_sentiment "
        "trend bias"
    ),
    "engine": "source_engine engine engine_name signal_engine engine_type",
    "ai_model": "ai_model model model_name llm_model",
    "prompt_version": "prompt_version prompt_id",
    "client_ref": "client_ref idempotency_key",
    "external_id": "signal_id id trade_id opportunity_id setup_id uuid",
    "strength": "strength signal_strength",
    "keep": "strategy order_type position_size position_size_usd lot_size leverage risk_level expires_at valid_until",
    # What says that nothing was issued, or that the dict is an order, a position or one component's opinion.
    "status": "status signal_status",
    "status_code": "status_code http_status",
    "success": "success ok approved issued has_signal signal_generated signal_available signal_found signal_issued",
    "refused": "rejected blocked is_rejected is_blocked regime_blocked signal_blocked signal_rejected no_signal",
    "error": "error error_message error_code",
    "order": (
        "deal_id deal retcode unrealized_pnl floating_pnl profit realized_pnl exit_price price_open price_current "
        "liquidation_price mark_price margin filled filled_qty executed_qty avg_price average_price closed_at pnl "
        "pnl_pct pnl_percentage"
    ),
    "position": "ticket order_id position_id order_ticket position_ticket position order",
    "quantity": "quantity qty amount size lot lots volume filled_quantity",
    "component": "indicator component factor oscillator",
    "voter": "type name strategy model source pattern indicator_name",
    # Where signals stand, and the rooms around them.
    "container": (
        "signal signal_data processed_signal signal_sent final_signal trading_signal trade_signal primary_signal "
        "ai_signal sharp_signal enhanced_signal generated_signal sinyal signals"
    ),
    "chosen": "top_signal latest_signal current_signal",
    "listing": (
        "signals signal trading_signals generated_signals latest_signals active_signals top_signals signal_history"
    ),
    "verdict": (
        "decision trading_decision trade_decision final_decision recommendation trade_recommendation "
        "trading_recommendation trading_recommendations final_recommendation trade_setup trade_plan trade_idea setup "
        "prediction"
    ),
    "verdict_listing": (
        "trading_opportunities opportunities trade_opportunities trading_recommendations trade_recommendations "
        "recommendations recommendation trade_setups trade_ideas setups predictions"
    ),
    "items": "data results items scan_results",
    "wrapper": "data result response payload output body results symbols",
    "opinion": "analysis ai_analysis trading_analysis technical_analysis",
    "room": (
        "trade_setup trade_plan trade_levels levels price_levels risk_management risk execution_plan trade_parameters "
        "setup entry_strategy exit_strategy targets"
    ),
    "side_room": "metadata meta",
    "analysis": "analysis",
}


def _variants(key: str) -> set[str]:
    """Spell a snake_case key as camelCase, PascalCase, UPPER_CASE, kebab-case and in plain words."""
    parts = key.split("_")
    pascal = "".join(part.capitalize() for part in parts)
    camel = parts[0] + pascal[len(parts[0]) :]
    words = " ".join(parts)
    return {key, key.upper(), key.capitalize(), "-".join(parts), pascal, camel, words, words.title(), words.upper()}


def spellings(*keys: str) -> frozenset[str]:
    """List every way in which hosts spell some snake_case keys."""
    return frozenset(variant for key in keys for variant in _variants(key))


def _places() -> dict[str, dict[str, int]]:
    places: dict[str, dict[str, int]] = {}
    for slot, keys in _SLOTS.items():
        for rank, key in enumerate(keys.split()):
            for variant in _variants(key):
                places.setdefault(variant, {}).setdefault(slot, rank)
    return places


PLACES = _places()
_shapes: Recent[tuple[object, ...], Shape] = Recent(_REMEMBERED)


def shape_of(fields: Mapping[object, object]) -> Shape:
    """List the known keys of a dict by slot, best spelling first."""
    shape = _shapes.get(keys := tuple(fields))
    return shape if shape is not None else _learn(keys)


def _learn(keys: tuple[object, ...]) -> Shape:
    ranked: dict[str, list[tuple[int, str]]] = {}
    for key in keys:
        if isinstance(key, str):
            for slot, rank in PLACES.get(key, {}).items():
                ranked.setdefault(slot, []).append((rank, key))
    shape = Shape({slot: tuple(key for _, key in sorted(entries)) for slot, entries in ranked.items()})
    _remember(keys, shape)
    return shape


def _remember(keys: tuple[object, ...], shape: Shape) -> None:
    """Keep a shape for the next body of its kind; bodies with endless or ever new keys must not fill the memory."""
    if len(keys) > _REMEMBERED_KEYS or any(len(str(key)) > _REMEMBERED_KEY_LENGTH for key in keys):
        return
    _shapes.keep(keys, shape)
