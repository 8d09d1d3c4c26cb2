"""What an export holds: which columns of a table were known when the record was made, and which came later.

A column without a prefix is a feature: it was known at `feature_ts`. `post_…` became known afterwards and must not be
learned from. `y_…` is what can be learned, known at `label_ts`. Addresses, agents and other traces of people are left
out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from stateful_engine.domain.barrier_rules import RESOLVED_BY
from stateful_engine.domain.timeframes import candle_milliseconds
from stateful_engine.domain.vocabulary import CLOSED_OUTCOMES, Outcome, Word
from stateful_engine.storage import exports
from stateful_engine.storage.base import Base
from stateful_engine.storage.gpt_queries import GPTQueryLog
from stateful_engine.storage.interactions import UserInteraction
from stateful_engine.storage.recommendations import Recommendation
from stateful_engine.storage.signals import SignalHistory

SCHEMA_VERSION = 1
FEATURE_TS = "feature_ts"
LABEL_TS = "label_ts"
TICKET_CLOSED_AT = "_ticket_closed_at"

Record = Mapping[str, Any]


class ExportKind(Word):
    """What can be exported."""

    SIGNALS = "signals"
    RECOMMENDATIONS = "recommendations"
    QUERIES = "queries"
    INTERACTIONS = "interactions"


class Role(Word):
    """When a column is known, and what it is for."""

    ID = "id"
    TIME = "time"
    FEATURE = "feature"
    POST = "post"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """One column of an export; `kind` is `text`, `number`, `whole`, `flag`, `time` or `json`."""

    name: str
    role: Role
    kind: str
    value: Callable[[Record], Any]


@dataclass(frozen=True, slots=True)
class ExportTable:
    """One kind of record as it is exported: `reads` are the columns to fetch, `columns` those to write."""

    kind: ExportKind
    model: type[Base]
    reads: tuple[str, ...]
    columns: tuple[ExportColumn, ...]
    label_ts: Callable[[Record], datetime | None]
    label_known_at: Callable[[Record], datetime | None]
    is_labelled: Callable[[Record], bool]
    ticket: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)


def table_of(kind: ExportKind) -> ExportTable:
    """How records of this kind are exported."""
    return _TABLES[kind]


def _table(
    kind: ExportKind,
    model: type[Base],
    *,
    ids: str,
    features: str,
    post: str = "",
    labels: str = "",
    computed: tuple[ExportColumn, ...] = (),
    **more: Any,
) -> ExportTable:
    label_ts = more.setdefault("label_ts", _nothing)
    more.setdefault("label_known_at", label_ts)
    more.setdefault("is_labelled", _never)
    parts = ((Role.ID, "", ids), (Role.FEATURE, "", features), (Role.POST, "post_", post), (Role.LABEL, "y_", labels))
    stored = {role: [_stored(model, name, role, prefix) for name in names.split()] for role, prefix, names in parts}
    made = {role: [column for column in computed if column.role is role] for role in Role}
    times = [
        ExportColumn(FEATURE_TS, Role.TIME, "time", lambda record: record["created_at"]),
        ExportColumn(LABEL_TS, Role.TIME, "time", label_ts),
    ]
    columns = [*stored[Role.ID], *times]
    for role in (Role.FEATURE, Role.POST, Role.LABEL):
        columns += [*stored[role], *made[role]]
    reads = dict.fromkeys(["created_at", *ids.split(), *features.split(), *post.split(), *labels.split()])
    return ExportTable(kind, model, tuple(reads), tuple(columns), **more)


def _stored(model: type[Base], name: str, role: Role, prefix: str) -> ExportColumn:
    if name == "extra":
        return ExportColumn(name, role, "json", _extra)
    return ExportColumn(prefix + name, role, exports.kind_of(model, name), lambda record: record[name])


def _extra(record: Record) -> Any:
    """The further fields of a signal without what the resolver noted there later."""
    extra = record["extra"]
    if not isinstance(extra, Mapping):
        return extra
    return {key: value for key, value in extra.items() if key != "resolution"} or None


def _nothing(_: Record) -> None:
    return None


def _never(_: Record) -> bool:
    return False


def _won(record: Record) -> int | None:
    """1 for a win, 0 for any other end of a trade, None while there is none."""
    outcome = record["outcome"]
    return int(outcome == Outcome.WIN.value) if outcome in CLOSED_OUTCOMES else None


def _earned(record: Record) -> int | None:
    """1 when an executed recommendation earned money, 0 when it lost some, None for neither and without a result."""
    pnl = record["result_pnl"]
    return int(pnl > 0) if pnl and record["executed"] else None


def _closed_at(record: Record) -> datetime | None:
    moment: datetime | None = record["closed_at"]
    return moment if record["outcome"] != Outcome.PENDING.value else None


def _outcome_known_at(record: Record) -> datetime | None:
    """A candle is stamped with its opening; what it did is known when it closes."""
    closed_at = _closed_at(record)
    if closed_at is None or record["resolved_by"] != RESOLVED_BY:
        return closed_at
    return closed_at + timedelta(milliseconds=candle_milliseconds(record["timeframe"]) or 0)


def _ticket_closed_at(record: Record) -> datetime | None:
    moment: datetime | None = record.get(TICKET_CLOSED_AT)
    return moment if record["result_pnl"] is not None else None


_CALENDAR = (
    ExportColumn("hour", Role.FEATURE, "whole", lambda record: record["created_at"].hour),
    ExportColumn("weekday", Role.FEATURE, "whole", lambda record: record["created_at"].isoweekday()),
)

_TABLES = {
    ExportKind.SIGNALS: _table(
        ExportKind.SIGNALS,
        SignalHistory,
        ids="signal_id query_id",
        features="symbol timeframe action confidence entry_price take_profit stop_loss risk_reward_ratio "
        "market_conditions source source_engine endpoint ai_model prompt_version experiment variant episode_key "
        "ai_reasoning smc_analysis technical_indicators extra",
        post="is_executed executed_at execution_price execution_source exit_reason exit_price closed_at resolved_by "
        "resolver_version candle_source ambiguity_policy ambiguous data_gap updated_at",
        labels="outcome pnl_percentage r_multiple mfe_pct mae_pct mfe_r mae_r",
        computed=(*_CALENDAR, ExportColumn("y_win", Role.LABEL, "whole", _won)),
        label_ts=_closed_at,
        label_known_at=_outcome_known_at,
        is_labelled=lambda record: record["outcome"] in CLOSED_OUTCOMES,
    ),
    ExportKind.RECOMMENDATIONS: _table(
        ExportKind.RECOMMENDATIONS,
        Recommendation,
        ids="id signal_id conversation_id",
        features="symbol direction confidence entry_price stop_loss take_profit risk_reward timeframe market_regime "
        "model generation_time experiment variant reasoning",
        post="executed execution_ticket execution_time",
        labels="result_pnl result_r",
        computed=(*_CALENDAR, ExportColumn("y_win", Role.LABEL, "whole", _earned)),
        label_ts=_ticket_closed_at,
        is_labelled=lambda record: bool(record["executed"]) and record["result_pnl"] is not None,
        ticket="execution_ticket",
    ),
    ExportKind.QUERIES: _table(
        ExportKind.QUERIES,
        GPTQueryLog,
        ids="query_id conversation_ref gpt_id",
        features="endpoint method request_params user_query",
        post="response_status processing_time_ms ai_model_used tokens_used prompt_tokens completion_tokens cost_usd "
        "ai_reasoning_time_ms confidence_score is_successful error_message",
        labels="feedback_rating",
        computed=_CALENDAR,
        is_labelled=lambda record: record["feedback_rating"] is not None,
    ),
    ExportKind.INTERACTIONS: _table(
        ExportKind.INTERACTIONS,
        UserInteraction,
        ids="interaction_id signal_id user_id",
        features="interaction_type interaction_source interaction_data",
        computed=_CALENDAR,
    ),
}
