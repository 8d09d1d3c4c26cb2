"""What an experiment came to: the verdict with its figures, kept results, and how much it takes to find out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.domain.experiment_metrics import metric_spec
from stateful_engine.domain.planning import AATest, Plan, aa_test, plan
from stateful_engine.errors import ConfigurationError, NotFoundError, StorageUnavailableError
from stateful_engine.logging import logger
from stateful_engine.services import inputs
from stateful_engine.services.binding import Bound
from stateful_engine.services.experiment_designs import changing, required, running_of, status_of
from stateful_engine.services.trial_marks import CandleMarks, Mark, OpenTrade, Valuation, marked_by, unknown
from stateful_engine.services.trial_reports import gather, report
from stateful_engine.storage import experiments, outcomes, signals
from stateful_engine.storage.experiments import Experiment, Snapshot

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from stateful_engine.extension import Runtime, StatefulEngine
    from stateful_engine.storage.database import Database

BATCH = 500
PRESENT = timedelta(weeks=4)


class ExperimentResults(Bound):
    """Judges experiments."""

    def __init__(
        self,
        source: StatefulEngine | Runtime | Database | str | os.PathLike[str] | None = None,
        *,
        db_path: str | os.PathLike[str] | None = None,
        database_url: str | None = None,
        candles: Any = None,
    ) -> None:
        """As the other services; `candles` is what signals that are open at their horizon are marked to market by.

        A folder or anything else that `resolve_outcomes` takes; inside an app it is `STATEFUL_CANDLES` when left out.
        """
        super().__init__(source, db_path=db_path, database_url=database_url)
        self._candles = candles

    def results(self, name: str, *, mark: Mark | None = None) -> dict[str, Any]:
        """The verdict so far with every figure behind it.

        Signals that are still open at their horizon are marked to market by the candles, or by `mark(symbol, at)`,
        which gives the last price at or before a moment; without either they are reported as unmarked.
        """
        self._catch_up()
        with self._database.reading() as session:
            return self._results_of(session, required(experiments.find(session, name), name), self._valuation(mark))

    def aa_test(
        self, name: str, metric: str | None = None, *, runs: int = 1000, seed: int = 1, mark: Mark | None = None
    ) -> AATest:
        """How often chance looks like a winner: the results so far, split at random `runs` times.

        `metric` is one of `domain.experiment_metrics.METRICS`, the first primary one when left out.
        """
        self._catch_up()
        with self._database.reading() as session:
            row = required(experiments.find(session, name), name)
            wanted = metric_spec(inputs.text(metric) or row.primary_metric).name
            rows = experiments.exposed_signals(session, row.name, row.started_at or row.created_at)
            arms, _ = gather(running_of(row).design, rows, now=clock.now(), value=self._valuation(mark))
        pairs = [pair for arm in arms.values() for pair in arm.pairs(wanted)]
        return aa_test([value for _, value in pairs], [cluster for cluster, _ in pairs], runs=runs, seed=seed)

    def snapshot(self, name: str, *, mark: Mark | None = None) -> dict[str, Any]:
        """Keep the results as they are now, unchangeably, and return them."""
        results = self.results(name, mark=mark)
        with changing(self._database, name) as (session, row):
            return _snapshot_dict(keep_snapshot(session, row, results))

    def snapshots(self, name: str, limit: int = 50) -> list[dict[str, Any]]:
        """The kept results, newest first."""
        with self._database.reading() as session:
            row = required(experiments.find(session, name), name)
            found = experiments.snapshots(session, row.id, limit=inputs.limit(limit, most=100))
            return [_snapshot_dict(one) for one in found]

    def get_snapshot(self, name: str, snapshot_id: int) -> dict[str, Any]:
        """The results as they were when this snapshot was kept; raises `NotFoundError`."""
        with self._database.reading() as session:
            row = required(experiments.find(session, name), name)
            found = experiments.snapshot(session, row.id, inputs.whole(snapshot_id, "snapshot_id"))
            if found is None:
                raise NotFoundError(
                    f"{name!r} has no snapshot {str(snapshot_id)[:40]}; list them with "
                    "GET /experiments/<name>/snapshots or `flask stateful ab snapshots`",
                    code="SNAPSHOT_NOT_FOUND",
                )
            return _snapshot_dict(found)

    def plan(self, metric: str, mde: float, sd: float | None = None, **details: Any) -> Plan:
        """How many signals and weeks it takes to find a true difference of `mde`; see `domain.planning.plan`.

        Without `signals_per_week` the weeks are those at the present volume, that of the last 28 days.
        """
        words: dict[str, Any] = {key: details[key] for key in ("design", "sequential") if key in details}
        numbers: dict[str, Any] = {
            key: inputs.finite(value, key) for key, value in details.items() if key not in words and value is not None
        }
        deviation = inputs.optional_finite(sd, "sd")
        numbers.setdefault("signals_per_week", self._present_volume())
        return plan(inputs.text(metric) or "", inputs.finite(mde, "mde"), deviation, **words, **numbers)

    def _present_volume(self) -> float:
        """Signals per week; 0, which plans no weeks, also while the database is away."""
        try:
            self._catch_up()
            with self._database.reading() as session:
                return signals.count_since(session, clock.now() - PRESENT) / (PRESENT / timedelta(weeks=1))
        except StorageUnavailableError:
            return 0.0

    def _results_of(self, session: Session, row: Experiment, value: Valuation) -> dict[str, Any]:
        now = clock.now()
        design = running_of(row).design
        since = row.started_at or row.created_at
        days = ((row.ended_at or now) - since).total_seconds() / 86_400 if row.started_at else 0.0
        units = experiments.exposed_units(session, row.id, row.version)
        answered = experiments.answered_queries(session, row.name, since)
        found = experiments.exposed_signals(session, row.name, since)
        shown = {"status": status_of(row).value, "winner": row.winner}
        return shown | report(design, found, now=now, days=days, units=units, answered=answered, value=value)

    def _valuation(self, mark: Mark | None = None) -> Valuation:
        """What open signals are worth, by whoever knows prices here.

        A configured folder that is not there knows none, nor does a configured function that fails.
        """
        if mark is not None:
            return marked_by(mark)
        if self._candles is not None:
            return CandleMarks(self._candles, self._stop_moves)
        candles = self._runtime.settings.candles if self._own is None else None
        try:
            return unknown if candles is None else self._guarded(CandleMarks(candles, self._stop_moves))
        except ConfigurationError as error:
            logger.warning("open signals are not marked to market: %s", error.message)
            return unknown

    def _guarded(self, value: Valuation) -> Valuation:
        def valued(trades: Sequence[OpenTrade]) -> Sequence[float | None]:
            with self._runtime.guard("value_open_signals"):
                return value(trades)
            return unknown(trades)

        return valued

    def _stop_moves(self, signal_ids: Sequence[str]) -> dict[str, list[tuple[datetime, float]]]:
        found: dict[str, list[tuple[datetime, float]]] = {}
        with self._database.reading() as session:
            for first in range(0, len(signal_ids), BATCH):
                found |= outcomes.stop_moves(session, signal_ids[first : first + BATCH])
        return found


def keep_snapshot(session: Session, row: Experiment, results: Mapping[str, Any]) -> Snapshot:
    """Keep results as they are now, which nothing changes any more."""
    values = {"experiment_id": row.id, "version": row.version, "taken_at": clock.now(), "results": dict(results)}
    return experiments.add_snapshot(session, values)


def _snapshot_dict(row: Snapshot) -> dict[str, Any]:
    return {
        "snapshot_id": row.id,
        "version": row.version,
        "taken_at": row.taken_at.isoformat(),
        "results": row.results,
    }
