"""From the dict that is a signal, and the dicts around it, to the fields of one signal."""

from __future__ import annotations

from collections.abc import Mapping

from stateful_engine.domain.actions import fold_action
from stateful_engine.domain.extracted import ExtractedSignal
from stateful_engine.domain.jsonvalues import json_text, json_value_or_none
from stateful_engine.domain.levels import Levels, read_levels
from stateful_engine.domain.numbers import confidence_number
from stateful_engine.domain.sanity import sanity_flags
from stateful_engine.domain.scopes import Scope
from stateful_engine.domain.spellings import spellings
from stateful_engine.domain.symbols import canonical_symbol
from stateful_engine.domain.timeframes import canonical_timeframe

MAX_TEXT = 255
MAX_REASONING = 20_000

Scopes = list[Scope]
Confidence = tuple[float | None, float | None, str | None]

_REQUEST_SYMBOL = ("symbol", "pair", "ticker", "instrument")
_REQUEST_TIMEFRAME = ("tf", "timeframe", "interval")
_CONFIDENCE_MEMBERS = ("score", "value", "overall", "percentage", "percent", "confidence", "total", "final", "level")
_CONFIDENCE = spellings("confidence")
_ENVELOPE_CONFIDENCE = spellings("confidence", "confidence_score")
_CONFIDENCE_LABELS = spellings("confidence", "confidence_level", "confidence_score")
_ENVELOPE_REASONING = spellings("ai_reasoning", "reasoning", "reason", "rationale", "explanation")
_ANONYMOUS_IDS = spellings("id", "uuid")
_KEPT = frozenset({"strength", "external_id", "keep", "side_room"})
_MARKET_CONDITIONS = spellings("market_conditions")
_SMC = ("smc", "smc_analysis")
_INDICATORS = ("indicators", "technical_indicators")
_NO_REQUEST: Mapping[str, object] = {}


def fold(scope: Scope, request: Mapping[str, object] | None = None) -> ExtractedSignal:
    """Fold the fields of one located signal; `scope.action` is set. What cannot be meant is None, never an error."""
    chain = scope.chain()
    places = chain
    rare = _rare(chain)
    if "side_room" in rare:
        places = [*chain, *_side_rooms(chain)]
        rare = _rare(places)
    asked = request or _NO_REQUEST
    symbol, symbol_raw = _symbol(places, asked)
    timeframe, timeframe_raw = _timeframe(places, asked)
    levels = read_levels(chain)
    confidence, given_confidence, label = _confidence(chain)
    extra: dict[str, object] = {}
    if label is not None:
        extra["confidence_label"] = label
    if timeframe_raw is not None and timeframe_raw != timeframe:
        extra["timeframe_raw"] = timeframe_raw
    action = "HOLD" if scope.action is None else scope.action.value
    _keep_levels(extra, levels, action=action, given_confidence=given_confidence)
    if scope.strength is not None or len(scope.shape["action"]) > 1 or not _KEPT.isdisjoint(rare):
        _keep(extra, chain, places)
    return ExtractedSignal(
        symbol,
        symbol_raw,
        timeframe,
        action,
        confidence,
        levels.entry,
        levels.take_profits[0] if levels.take_profits else None,
        levels.stop_loss,
        levels.risk_reward,
        _reasoning(chain),
        _evidence(chain, "smc", _SMC) if "smc" in rare or "analysis" in rare else None,
        _evidence(chain, "indicators", _INDICATORS) if "indicators" in rare or "analysis" in rare else None,
        _market(chain) if "market" in rare else None,
        _label(places, "engine") if "engine" in rare else None,
        _label(places, "ai_model") if "ai_model" in rare else None,
        _label(places, "prompt_version") if "prompt_version" in rare else None,
        _own_label(scope, "client_ref") if "client_ref" in rare else None,
        extra,
    )


def _rare(places: Scopes) -> frozenset[str]:
    """List the seldom slots that occur at all, so that the others need not be looked for one by one."""
    rare = places[0].shape.rare
    for scope in places[1:]:
        rare = rare | scope.shape.rare
    return rare


def _side_rooms(chain: Scopes) -> Scopes:
    """List the metadata of a signal and of its envelopes, nearest first."""
    return [
        Scope(room)
        for scope in chain
        for key in scope.shape.get("side_room", ())
        if isinstance(room := scope.fields[key], dict)
    ]


def _symbol(places: Scopes, request: Mapping[str, object]) -> tuple[str | None, str | None]:
    """Look a symbol up in the signal, on its envelopes, in their metadata, then in the request; (canonical, given)."""
    for scope in places:
        for key in scope.shape.get("symbol", ()):
            if (symbol := canonical_symbol(scope.fields[key])) is not None:
                return symbol, str(scope.fields[key])
        name = scope.name
        if name is not None and name == name.upper() and canonical_timeframe(name) is None:
            return canonical_symbol(name), name
    for key in _REQUEST_SYMBOL:
        if key in request and (symbol := canonical_symbol(request[key])) is not None:
            return symbol, str(request[key])
    return None, None


def _timeframe(places: Scopes, request: Mapping[str, object]) -> tuple[str | None, str | None]:
    """Look a timeframe up where symbols are; (canonical or None, given)."""
    given: str | None = None
    for scope in places:
        for key in scope.shape.get("timeframe", ()):
            value = scope.fields[key]
            if (timeframe := _timeframe_at(key, value)) is not None:
                return timeframe, str(value)
            given = given or (value[:MAX_TEXT] if isinstance(value, str) else None)
        if scope.name is not None and (timeframe := canonical_timeframe(scope.name)) is not None:
            return timeframe, scope.name
    for key in _REQUEST_TIMEFRAME:
        if key in request and (timeframe := canonical_timeframe(request[key])) is not None:
            return timeframe, str(request[key])
    return None, given


def _timeframe_at(key: str, value: object) -> str | None:
    """Read a timeframe; a numeric `interval` is more likely the seconds between two polls."""
    return canonical_timeframe(value) if isinstance(value, str) or key != "interval" else None


def _confidence(chain: Scopes) -> Confidence:
    """Read (confidence or None, the number as given, a label); a signal that is no item may use its envelope's."""
    scope = chain[0]
    told: Confidence = (None, None, None)
    if "confidence" in scope.shape:
        told = confidence_of(scope.fields, scope.shape["confidence"])
    if told[1] is None and "container" in scope.shape:
        told = _confidence_inside(scope, told)
    if told[1] is None and len(chain) > 1 and not scope.is_item and "confidence" in chain[1].shape:
        keys = tuple(key for key in chain[1].shape["confidence"] if key in _ENVELOPE_CONFIDENCE)
        confidence, given, _ = confidence_of(chain[1].fields, keys)
        return confidence, given, told[2]
    return told


def _confidence_inside(scope: Scope, told: Confidence) -> Confidence:
    """Read the confidence of a `final_signal` in a signal that tells the verb but no confidence itself."""
    for key in scope.shape["container"]:
        inner = scope.fields[key]
        if isinstance(inner, dict) and "confidence" in inner:
            confidence, given, label = confidence_of(inner, ("confidence",))
            return confidence, given, told[2] or label
    return told


def confidence_of(fields: Mapping[object, object], keys: tuple[str, ...]) -> Confidence:
    """Read the confidence in one dict: the best spelling that is a number, beside a label when there is one.

    A `confidence` outside 0–100 is rejected and not replaced by a sibling; a sibling outside is passed over.
    """
    for key in keys:
        value = fields[key]
        if value is None:
            continue
        number = _number_in(value) if isinstance(value, dict) else confidence_number(value)
        if number is None:
            continue
        if 0.0 <= number <= 100.0:
            return number, number, _confidence_label(fields, keys) if len(keys) > 1 else None
        if key in _CONFIDENCE:
            return None, number, None
    return None, None, _confidence_label(fields, keys)


def _confidence_label(fields: Mapping[object, object], keys: tuple[str, ...]) -> str | None:
    """Find a label in place of the number or beside it (`confidence: 80` with `confidence_level: HIGH`)."""
    for key in keys:
        value = fields[key]
        if isinstance(value, str) and key in _CONFIDENCE_LABELS and confidence_number(value) is None and value.strip():
            return value.strip()[:40]
    return None


def _number_in(fields: Mapping[object, object]) -> float | None:
    for key in _CONFIDENCE_MEMBERS:
        if key in fields and (number := confidence_number(fields[key])) is not None:
            return number
    return None


def _keep_levels(extra: dict[str, object], levels: Levels, *, action: str, given_confidence: float | None) -> None:
    targets = levels.take_profits
    if targets:
        extra["take_profits"] = targets
    if levels.entry_range is not None:
        extra["entry_range"] = levels.entry_range
    if levels.entry_source is not None:
        extra["entry_source"] = levels.entry_source
    flags = sanity_flags(
        action,
        entry_price=levels.entry,
        take_profit=targets[0] if targets else None,
        stop_loss=levels.stop_loss,
        risk_reward_ratio=levels.risk_reward,
        confidence=given_confidence,
        current_price=levels.market_price,
    )
    if flags:
        extra["flags"] = flags


def _keep(extra: dict[str, object], chain: Scopes, places: Scopes) -> None:
    """Keep what has no column: how strong the verb was, the host's own id, and a few words on how to trade it."""
    scope = chain[0]
    strength = scope.strength or _strength_beside(scope)
    if strength is not None:
        extra["strength"] = strength
    external_id = _external_id(scope, places[len(chain) :])
    if external_id is not None:
        extra["external_id"] = external_id
    for key in scope.shape.get("keep", ()):
        kept = json_value_or_none(scope.fields[key])
        if kept is not None:
            extra[key] = kept[:MAX_TEXT] if isinstance(kept, str) else kept


def _strength_beside(scope: Scope) -> object | None:
    fields, actions = scope.fields, scope.shape["action"]
    if len(actions) > 1:
        for key in actions:
            folded = fold_action(fields[key])
            if folded is not None and folded[0] is scope.action and folded[1] is not None:
                return folded[1]
    for key in scope.shape.get("strength", ()):
        value = fields[key]
        if value is not None:
            return value[:40] if isinstance(value, str) else json_value_or_none(value)
    return None


def _external_id(scope: Scope, side_rooms: Scopes) -> str | None:
    own = _own_label(scope, "external_id")
    if own is not None or scope.is_item:
        return own
    for room in side_rooms:
        for key in room.shape.get("external_id", ()):
            if key not in _ANONYMOUS_IDS and (text := _short(room.fields[key])) is not None:
                return text
    return None


def _label(places: Scopes, slot: str) -> str | None:
    """Look a label such as the engine's name up in the signal, on its envelopes, then in their metadata."""
    return next((text for scope in places if (text := _own_label(scope, slot)) is not None), None)


def _own_label(scope: Scope, slot: str) -> str | None:
    for key in scope.shape.get(slot, ()):
        if (text := _short(scope.fields[key])) is not None:
            return text
    return None


def _short(value: object) -> str | None:
    """Read a short label: text or a whole number; other kinds of values are no label."""
    if isinstance(value, str):
        return str.__str__(value).strip()[:MAX_TEXT] or None
    return str(value) if type(value) is int and abs(value) < 10**18 else None


def _reasoning(chain: Scopes) -> str | None:
    scope = chain[0]
    for key in scope.shape.get("reasoning", ()):
        if (text := readable(scope.fields[key])) is not None:
            return text
    for key in scope.shape.get("container", ()):
        inner = scope.fields[key]
        if isinstance(inner, dict) and (text := readable(inner.get("reasoning"))) is not None:
            return text
    if len(chain) == 1 or scope.is_item:
        return None
    for key in chain[1].shape.get("reasoning", ()):
        if key in _ENVELOPE_REASONING and (text := readable(chain[1].fields[key])) is not None:
            return text
    return None


def readable(value: object) -> str | None:
    """Turn a reasoning into text: text as it is, a list of sentences joined by "; ", anything else as compact JSON."""
    if isinstance(value, str):
        return str.__str__(value).strip()[:MAX_REASONING] or None
    if not isinstance(value, (dict, list, tuple)) or not value:
        return None
    if not isinstance(value, dict) and all(isinstance(item, str) for item in value):
        return "; ".join(value)[:MAX_REASONING]
    text = json_text(value)
    return None if text is None else text[:MAX_REASONING]


def _evidence(chain: Scopes, slot: str, members: tuple[str, ...]) -> object | None:
    """Find SMC or indicators: on the signal or in its analysis; around it too when it is no item."""
    for scope in chain[:1] if chain[0].is_item else chain:
        shape = scope.shape
        for key in shape.get(slot, ()):
            if (value := _evidence_value(scope.fields[key], chain)) is not None:
                return value
        for key in shape.get("analysis", ()):
            analysis = scope.fields[key]
            if isinstance(analysis, dict):
                for member in members:
                    if (value := _evidence_value(analysis.get(member), chain)) is not None:
                        return value
    return None


def _evidence_value(value: object, chain: Scopes) -> object | None:
    """Take text, objects and lists that say something; a dict that the signal itself was found in is no evidence."""
    if not value or not isinstance(value, (str, dict, list, tuple)) or any(value is scope.fields for scope in chain):
        return None
    return json_value_or_none(value)


def _market(chain: Scopes) -> str | None:
    for scope in chain:
        for key in scope.shape.get("market", ()):
            value = scope.fields[key]
            if isinstance(value, str) and value.strip():
                return str.__str__(value).strip()[:MAX_TEXT]
            if isinstance(value, dict) and value and key in _MARKET_CONDITIONS:
                return _short(json_text(value))
    return None
