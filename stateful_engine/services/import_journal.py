"""Bringing an existing SQLite journal along: conversations, recommendations, scanner results, actions, order events.

A row is known again by what it says (who, what, when), so that importing twice changes nothing. Rows that cannot be
meant are counted and named, and never stop the others.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stateful_engine.domain.redaction import clean_json
from stateful_engine.domain.timeframes import canonical_timeframe
from stateful_engine.errors import InvalidInputError
from stateful_engine.services import inputs
from stateful_engine.services.conversations import role_of
from stateful_engine.services.journal import numbers_of
from stateful_engine.services.recommendations import confidence_of, direction_of
from stateful_engine.storage import actions, conversations, journal, recommendations, scanner
from stateful_engine.storage.foreign_journal import ForeignJournal
from stateful_engine.storage.natural_keys import fill_in, find_same, insert_row

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from stateful_engine.storage.base import Base
    from stateful_engine.storage.database import Database

Row = Mapping[str, Any]
BATCH = 500
MAX_PROBLEMS = 20
ENDED = ("ended_at", "message_count", "total_tokens", "openai_cost")
FOLLOWED = ("executed", "execution_ticket", "execution_time", "result_pnl", "result_r")
TOLD = ("notified", "notified_at")
FALSE = frozenset({"", "0", "false", "no", "off", "none"})


@dataclass(slots=True)
class ImportReport:
    """What came along: per table how many rows were new, known already, or could not be meant, with some reasons.

    `updated` are those of the known ones that have gone on since, `broken` says which tables could not be read to the
    end.
    """

    imported: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How rows of one table are read, and by which columns one is known again."""

    model: type[Base]
    key: tuple[str, ...]
    read: Callable[[Row, Mapping[Any, int]], dict[str, Any]]
    later: tuple[str, ...] = ()
    """Columns that a row gets only after it was written."""


def import_journal(path: str | os.PathLike[str], database: Database) -> ImportReport:
    """Copy the journal at `path` into `database`; the file itself is only read."""
    copy = _Copy(database)
    with ForeignJournal(Path(path)) as source:
        present = source.tables()
        for table, kind in KINDS.items():
            if table in present:
                copy.take(source, table, kind)
            else:
                copy.report.missing.append(table)
    return copy.report


class _Copy:
    """One copying: where to, what came of it so far, and our ids of the conversations."""

    def __init__(self, database: Database) -> None:
        self.report = ImportReport()
        self._database = database
        self._conversation_ids: dict[Any, int] = {}
        self._seen: Counter[tuple[Any, ...]] = Counter()

    def take(self, source: ForeignJournal, table: str, kind: _Kind) -> None:
        """Copy one table, in batches of a transaction each, as far as it can be read."""
        rows = source.rows(table)
        while batch := self._batch(rows):
            with self._database.transaction() as session:
                for row in batch:
                    self._take_row(session, table, kind, row)

    def _batch(self, rows: Iterator[Row]) -> list[Row]:
        batch: list[Row] = []
        try:
            for row in islice(rows, BATCH):
                batch.append(row)
        except InvalidInputError as error:
            self.report.broken.append(error.message)
        return batch

    def _take_row(self, session: Session, table: str, kind: _Kind, row: Row) -> None:
        try:
            values = kind.read(row, self._conversation_ids)
        except InvalidInputError as error:
            self._refuse(table, row, error)
            return
        row_id = self._kept(session, table, kind, values)
        if table == conversations.TABLE:
            self._conversation_ids[row.get("id")] = row_id

    def _kept(self, session: Session, table: str, kind: _Kind, values: dict[str, Any]) -> int:
        """The id of the row in our table, which is added when it is not known."""
        values |= {name: self._database.people.of(values[name]) for name in ("user_id", "chat_id") if name in values}
        key = {name: values[name] for name in kind.key}
        known = find_same(session, kind.model, key, skip=self._occurrences(table, key))
        if known is not None:
            self.report.known[table] += 1
            later = {name: values[name] for name in kind.later}
            self.report.updated[table] += bool(later) and fill_in(session, kind.model, known, later)
            return known
        self.report.imported[table] += 1
        return insert_row(session, kind.model, values)

    def _occurrences(self, table: str, key: Mapping[str, Any]) -> int:
        """How many rows that say the same came before in this journal: twice in one second is two records."""
        same = (table, hash(tuple(key.values())))
        self._seen[same] += 1
        return self._seen[same] - 1

    def _refuse(self, table: str, row: Row, error: InvalidInputError) -> None:
        self.report.refused[table] += 1
        if len(self.report.problems) < MAX_PROBLEMS:
            self.report.problems.append(f"{table} id {row.get('id')}: {error.message}")


# How each table is read


def _conversation(row: Row, _: Mapping[Any, int]) -> dict[str, Any]:
    return {
        "user_id": inputs.person(row.get("user_id")),
        "chat_id": inputs.text(row.get("chat_id")),
        "started_at": _required_time(row, "started_at"),
        "ended_at": _time(row, "ended_at"),
        "message_count": _count(row, "message_count") or 0,
        "total_tokens": _count(row, "total_tokens") or 0,
        "openai_cost": inputs.optional_finite(row.get("openai_cost"), "openai_cost"),
        "model": inputs.text(row.get("model")),
        "channel": inputs.text(row.get("channel")),
    }


def _message(row: Row, conversation_ids: Mapping[Any, int]) -> dict[str, Any]:
    conversation_id = conversation_ids.get(row.get("conversation_id"))
    if conversation_id is None:
        raise InvalidInputError("its conversation is not in the journal")
    numbers = ("tokens_used", "prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
    return {
        "conversation_id": conversation_id,
        "role": role_of(row.get("role")),
        "content": inputs.text(row.get("content"), most=2**20),
        "timestamp": _required_time(row, "timestamp"),
        **{name: _count(row, name) for name in numbers},
        "cost_usd": inputs.optional_finite(row.get("cost_usd"), "cost_usd"),
        "model": inputs.text(row.get("model")),
        "latency_ms": inputs.optional_finite(row.get("latency_ms"), "latency_ms"),
    }


def _recommendation(row: Row, conversation_ids: Mapping[Any, int]) -> dict[str, Any]:
    return {
        "user_id": inputs.person(row.get("user_id")),
        "conversation_id": conversation_ids.get(row.get("conversation_id")),
        "signal_id": inputs.text(row.get("signal_id")),
        "symbol": _symbol(row),
        "direction": direction_of(row.get("direction")),
        "reasoning": inputs.text(row.get("reasoning"), most=64 * 2**10),
        "confidence": confidence_of(row.get("confidence")),
        **{name: inputs.optional_level(row.get(name), name) for name in ("entry_price", "stop_loss", "take_profit")},
        "risk_reward": inputs.optional_finite(row.get("risk_reward"), "risk_reward"),
        "timeframe": canonical_timeframe(row.get("timeframe")),
        "market_regime": inputs.text(row.get("market_regime")),
        "created_at": _required_time(row, "created_at"),
        "executed": _flag(row.get("executed")),
        "execution_ticket": inputs.text(row.get("execution_ticket")),
        "execution_time": _time(row, "execution_time"),
        "result_pnl": inputs.optional_finite(row.get("result_pnl"), "result_pnl"),
        "result_r": inputs.optional_finite(row.get("result_r"), "result_r"),
        "model": inputs.text(row.get("model")),
        "generation_time": inputs.optional_finite(row.get("generation_time"), "generation_time"),
    }


def _scanner_result(row: Row, _: Mapping[Any, int]) -> dict[str, Any]:
    return {
        "symbol": _symbol(row),
        "timeframe": canonical_timeframe(row.get("timeframe")) or inputs.text(row.get("timeframe")) or "",
        "direction": direction_of(row.get("direction")),
        "confidence": confidence_of(row.get("confidence")),
        **{name: inputs.optional_finite(row.get(name), name) for name in ("rsi", "adx", "atr")},
        "market_regime": inputs.text(row.get("market_regime")),
        "reason": inputs.text(row.get("reason"), most=4096),
        "bar_time": _time(row, "bar_time"),
        "detected_at": _required_time(row, "detected_at"),
        "notified": _flag(row.get("notified")),
        "notified_at": _time(row, "notified_at"),
        "signal_id": inputs.text(row.get("signal_id")),
    }


def _action(row: Row, _: Mapping[Any, int]) -> dict[str, Any]:
    kind = inputs.text(row.get("action_type"))
    if kind is None:
        raise InvalidInputError("action_type is missing")
    return {
        "user_id": inputs.person(row.get("user_id")),
        "chat_id": inputs.text(row.get("chat_id")),
        "action_type": kind,
        "action_data": _json(row.get("action_data")),
        "timestamp": _required_time(row, "timestamp"),
    }


def _event(row: Row, _: Mapping[Any, int]) -> dict[str, Any]:
    kind = inputs.text(row.get("event"))
    if kind is None:
        raise InvalidInputError("event is missing")
    texts = ("ticket", "signal_id", "side", "method", "momentum", "oco_group")
    kept = _json(row.get("extra"))
    extra = dict(kept) if isinstance(kept, dict) else {} if kept is None else {"extra": kept}
    numbers = numbers_of(row, extra)
    return {
        "event": kind,
        **{name: inputs.text(row.get(name)) for name in texts},
        "symbol": inputs.instrument(row.get("symbol")),
        **numbers,
        "notes": inputs.text(row.get("notes"), most=8192),
        "extra": extra or None,
        "timestamp": _required_time(row, "timestamp"),
    }


KINDS: dict[str, _Kind] = {
    conversations.TABLE: _Kind(conversations.Conversation, ("user_id", "chat_id", "started_at"), _conversation, ENDED),
    conversations.MESSAGES: _Kind(conversations.Message, ("conversation_id", "timestamp", "role", "content"), _message),
    recommendations.TABLE: _Kind(
        recommendations.Recommendation, ("user_id", "symbol", "direction", "created_at"), _recommendation, FOLLOWED
    ),
    scanner.TABLE: _Kind(
        scanner.ScannerResult, ("symbol", "timeframe", "direction", "detected_at"), _scanner_result, TOLD
    ),
    actions.TABLE: _Kind(actions.UserAction, ("user_id", "chat_id", "action_type", "timestamp"), _action),
    journal.TABLE: _Kind(journal.TradeEvent, ("event", "ticket", "symbol", "timestamp"), _event),
}


def _symbol(row: Row) -> str:
    symbol = inputs.instrument(row.get("symbol"))
    if symbol is None:
        raise InvalidInputError("symbol is missing")
    return symbol


def _time(row: Row, name: str) -> Any:
    value = row.get(name)
    return inputs.moment(_number_in(value), name) if value not in (None, "") else None


def _required_time(row: Row, name: str) -> Any:
    moment = _time(row, name)
    if moment is None:
        raise InvalidInputError(f"{name} is missing")
    return moment


def _number_in(value: Any) -> Any:
    """Epoch seconds that were kept as text are a number again."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _flag(value: Any) -> bool:
    """Whether a column says yes, also as text."""
    return bool(value) and str(value).strip().lower() not in FALSE


def _count(row: Row, name: str) -> int | None:
    value = row.get(name)
    return None if value is None else inputs.whole(value, name)


def _json(value: Any) -> Any:
    """JSON that was kept as text, or the text itself under `text`."""
    if value in (None, ""):
        return None
    try:
        parsed = json.loads(value) if isinstance(value, (str, bytes)) else value
    except ValueError:
        parsed = {"text": str(value)}
    return clean_json(parsed)[0]
