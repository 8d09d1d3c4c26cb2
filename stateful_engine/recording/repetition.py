"""Rows of calls that come again: made once, and filled in for each of them."""

from __future__ import annotations

from stateful_engine.domain.recent import Recent
from stateful_engine.recording.columns import episode
from stateful_engine.recording.forms import Blanks
from stateful_engine.recording.rows import TableRows
from stateful_engine.storage import gpt_queries, interactions, signals

KEPT = 64
"""Kinds of calls that are remembered."""

MAX_KEPT_BYTES = 8 * 2**10


class Repetition:
    """The rows of the calls that were read last, by what such calls have in common; any number of threads may ask."""

    def __init__(self) -> None:
        self._kept: Recent[tuple[bytes | None, bytes], TableRows] = Recent(KEPT)

    def rows(self, call: Blanks) -> TableRows | None:
        """The rows of `call`; None where no call like it is known."""
        known = self._kept.get(call.rest)
        return None if known is None else _filled(known, call)

    def keep(self, call: Blanks, made: TableRows) -> None:
        """Remember the rows of `call` for those like it, unless more in them is its own than is filled in."""
        if len(call.rest[1]) <= MAX_KEPT_BYTES and _filled(made, call) == made:
            self._kept.keep(call.rest, made)


def _filled(known: TableRows, call: Blanks) -> TableRows:
    """Rows like those that are known, with the ids and times of `call`."""
    query_id, signal_id, made_us = f"qry{call.tail}", f"sig{call.tail}", call.created_us
    made: TableRows = {}
    for row in known.get(signals.TABLE, ()):
        own = {"signal_id": signal_id, "query_id": query_id, "created_at": made_us, "updated_at": made_us}
        own["episode_key"] = episode(row["symbol"], row["timeframe"], made_us)
        made[signals.TABLE] = [{**row, **own}]
    for row in known.get(interactions.TABLE, ()):
        own = {"interaction_id": f"int{call.tail}", "signal_id": signal_id, "created_at": made_us}
        made[interactions.TABLE] = [{**row, **own}]
    for row in known.get(gpt_queries.TABLE, ()):
        own = {"query_id": query_id, "created_at": made_us, "processing_time_ms": call.milliseconds}
        made[gpt_queries.TABLE] = [{**row, **own, **call.ids}]
    return made
