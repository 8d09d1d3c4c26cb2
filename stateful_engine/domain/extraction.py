"""From the JSON a view answers with to zero or more signals.

Two phases: `containers` locates which dicts of a body are signals, `fields` folds each with the dicts around it.
`extract` is for bodies of views and never raises; `direct.extract_one` is for a signal that somebody hands over.
"""

from __future__ import annotations

from collections.abc import Mapping

from stateful_engine.domain.containers import Locator
from stateful_engine.domain.direct import extract_one
from stateful_engine.domain.extracted import ExtractedSignal, Extraction, Note
from stateful_engine.domain.fields import fold
from stateful_engine.domain.mapping import locate_mapped

__all__ = ["ExtractedSignal", "Extraction", "Note", "extract", "extract_one", "located"]


def extract(
    body: object, *, request: Mapping[str, object] | None = None, mapping: Mapping[str, str] | None = None
) -> Extraction:
    """Find the signals in the decoded JSON body of a successful answer; at most 100, in the order of the body.

    `request` is one flat mapping of the view's path, query and JSON arguments; a symbol or timeframe that the body
    does not tell is looked up there. `mapping` says by dotted paths where a body of the host's own shape keeps the
    fields: `{"symbol": "payload.pair", "action": "payload.verdict.side"}`; with `"signals": "payload.items"` the
    other paths are relative to each item. Nothing raises: what cannot be read is left out and noted.
    """
    locator = located(body, mapping=mapping)
    signals = tuple([fold(candidate, request) for candidate in locator.candidates])
    if len(signals) > 1:
        signals = _without_repeats(signals)
    return Extraction(signals, tuple(locator.notes), locator.recognised)


def located(body: object, *, mapping: Mapping[str, str] | None = None) -> Locator:
    """Where the signals of `body` are, without reading what they say; `extract` makes one signal of one place."""
    locator = Locator()
    if mapping:
        locate_mapped(locator, body, mapping)
    else:
        locator.locate(body)
    return locator


def _without_repeats(signals: tuple[ExtractedSignal, ...]) -> tuple[ExtractedSignal, ...]:
    """Keep the first of those that say the same: one recommendation told twice in one body is one signal."""
    distinct: dict[tuple[object, ...], ExtractedSignal] = {}
    for signal in signals:
        distinct.setdefault(_identity(signal), signal)
    return tuple(distinct.values())


def _identity(signal: ExtractedSignal) -> tuple[object, ...]:
    targets = signal.extra.get("take_profits")
    return (
        signal.symbol,
        signal.timeframe,
        signal.action,
        signal.confidence,
        signal.entry_price,
        tuple(targets) if isinstance(targets, list) else None,
        signal.stop_loss,
        signal.extra.get("external_id"),
    )
