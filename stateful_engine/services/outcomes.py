"""How open signals ended, found from candles by the triple barrier of `domain.barriers`.

`resolve_outcomes(candles)` resolves the open signals of the current app, `resolve_many(signals, candles)` any signals
without a database. Only candles that are complete count. A result is written once: a signal that has an outcome, from a
person or from an earlier run, is left alone, so a run can be stopped and repeated at any time.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.domain.actions import fold_action
from stateful_engine.domain.barrier_rules import RESOLVED_BY, RESOLVER_VERSION, EntryMode, Resolution, plan_of
from stateful_engine.domain.symbols import canonical_symbol
from stateful_engine.domain.timeframes import canonical_timeframe
from stateful_engine.domain.vocabulary import Outcome
from stateful_engine.errors import InvalidInputError
from stateful_engine.events import Announce, outcome_recorded, silent
from stateful_engine.globals import current_runtime
from stateful_engine.services import inputs
from stateful_engine.services.candle_series import CandleSeries, epoch_ms, find_column, is_frame
from stateful_engine.services.candles import CandleSource, GivenCandles, Market, candle_source
from stateful_engine.services.positions import Policy, Position, ceil_ms, resolve_positions
from stateful_engine.storage import outcomes, signals
from stateful_engine.storage.outcomes import OpenSignal

if TYPE_CHECKING:
    from stateful_engine.recording.recorder import Recorder
    from stateful_engine.storage.database import Database

NO_CANDLES = "there are no candles of its symbol and timeframe"
CLOSED_MEANWHILE = "somebody else closed it meanwhile"
BATCH = 250
SURVEY_BATCH = 2000
EXPIRY_KEYS = ("expires_at", "valid_until")

Progress = Callable[[int, int], None]
OnClosed = Callable[[str, Resolution], None]


@dataclass(slots=True)
class ResolutionReport:
    """What a run did: `resolved` signals, by outcome and exit reason, and why the others stayed open."""

    dry_run: bool
    resolved: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    exit_reasons: Counter[str] = field(default_factory=Counter)
    left_open: Counter[str] = field(default_factory=Counter)
    ambiguous: int = 0
    data_gaps: int = 0

    def leave(self, reason: str, count: int = 1) -> None:
        """Count signals that stayed open for this reason."""
        if count:
            self.left_open[reason] += count

    def add(self, resolution: Resolution) -> None:
        """Count a signal that was closed."""
        self.resolved += 1
        self.outcomes[str(resolution.outcome)] += 1
        self.exit_reasons[str(resolution.exit_reason)] += 1
        self.ambiguous += resolution.ambiguous
        self.data_gaps += resolution.data_gap


@dataclass(slots=True)
class _Queue:
    """The open signals of one market: their internal ids, and since when candles are needed."""

    since: datetime
    ids: array[int] = field(default_factory=lambda: array("q"))


class Outcomes:
    """Resolves the open signals of one database."""

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        *,
        on_change: Callable[[Mapping[str, int]], None],
        announce: Announce = silent,
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._on_change = on_change
        self._announce = announce

    def resolve(
        self,
        candles: Any,
        *,
        dry_run: bool = False,
        signal_ids: Collection[str] | None = None,
        progress: Progress | None = None,
        on_closed: OnClosed | None = None,
        **policy: Any,
    ) -> ResolutionReport:
        """Resolve the open signals, all or those named, and write what is found unless `dry_run`.

        `candles` is whatever `candles.candle_source` understands, `policy` what `Policy.of` takes: `policy`,
        `entry_mode`, `tp_gap_fill`, `strict_tp`, `limit_valid_candles`, `break_even_r`, `expiry`. A signal whose
        `extra` holds `expires_at` or `valid_until` expires then. `progress` is called with (done, all) signals,
        `on_closed` with each signal id and its resolution.
        """
        run = _Run(candle_source(candles), Policy.of(**policy), ResolutionReport(dry_run), clock.now(), on_closed)
        if isinstance(run.source, GivenCandles) and run.source.is_anonymous:
            raise InvalidInputError(
                "the candles do not say which symbol they are of; give {'BTCUSDT': candles} or a column 'symbol'"
            )
        self._recorder.catch_up()
        queues = self._survey(run, signal_ids)
        try:
            self._resolve_queues(run, queues, progress or _silent)
        finally:
            if run.report.resolved and not dry_run:
                self._on_change({signals.TABLE: run.report.resolved})
        return run.report

    def _survey(self, run: _Run, signal_ids: Collection[str] | None) -> dict[Market, _Queue]:
        """The open signals that candles could close, by market; the others are counted with the reason."""
        queues: dict[Market, _Queue] = {}
        for signal in self._open_signals(run.source, signal_ids):
            fault = _fault(signal, run.policy)
            if fault is not None:
                run.report.leave(fault)
                continue
            market = Market(signal.symbol, signal.timeframe)
            queues.setdefault(market, _Queue(signal.created_at)).ids.append(signal.id)
        return queues

    def _open_signals(self, source: CandleSource, signal_ids: Collection[str] | None) -> Iterator[OpenSignal]:
        symbols = source.symbols if isinstance(source, GivenCandles) else None
        after = None
        while True:
            with self._database.reading() as session:
                rows = outcomes.open_signals(
                    session, after=after, limit=SURVEY_BATCH, symbols=symbols, signal_ids=signal_ids
                )
            yield from rows
            if len(rows) < SURVEY_BATCH:
                return
            after = rows[-1].place

    def _resolve_queues(self, run: _Run, queues: Mapping[Market, _Queue], progress: Progress) -> None:
        total, done = sum(len(queue.ids) for queue in queues.values()), 0
        progress(done, total)
        for market in sorted(queues, key=lambda market: (market.symbol or "", market.timeframe or "")):
            queue = queues[market]
            series, finer = run.candles(market, queue.since)
            for first in range(0, len(queue.ids), BATCH):
                ids = queue.ids[first : first + BATCH]
                if series is None:
                    run.report.leave(NO_CANDLES, len(ids))
                else:
                    self._resolve_batch(run, ids, series, finer)
                done += len(ids)
                progress(done, total)

    def _resolve_batch(self, run: _Run, ids: Collection[int], series: CandleSeries, finer: CandleSeries | None) -> None:
        with self._database.reading() as session:
            open_signals = outcomes.still_open(session, ids)
            moves = outcomes.stop_moves(session, [signal.signal_id for signal in open_signals])
        run.report.leave(CLOSED_MEANWHILE, len(ids) - len(open_signals))
        positions = [_position(signal, moves.get(signal.signal_id, ()), series, run.policy) for signal in open_signals]
        found = resolve_positions(positions, series, run.policy, finer=finer)
        ended = {s.id: r for s, r in zip(open_signals, found, strict=True) if r.exit_reason is not None}
        run.report.left_open.update(str(r.reason) for r in found if r.exit_reason is None)
        notes = {} if run.source.keeps_history else _notes(open_signals, found)
        closed = set(ended) if run.report.dry_run else self._write(run, series, ended, notes)
        run.report.leave(CLOSED_MEANWHILE, len(ended) - len(closed))
        for signal in open_signals:
            if signal.id in closed:
                run.closed(signal.signal_id, ended[signal.id])
                self._tell(run, signal.signal_id, ended[signal.id])

    def _tell(self, run: _Run, signal_id: str, resolution: Resolution) -> None:
        if not run.report.dry_run:
            figures = {"pnl_percentage": resolution.pnl_percentage, "r_multiple": resolution.r_multiple}
            self._announce(outcome_recorded, signal_id=signal_id, outcome=str(resolution.outcome), **figures)

    def _write(
        self, run: _Run, series: CandleSeries, ended: Mapping[int, Resolution], notes: Mapping[int, Mapping[str, Any]]
    ) -> set[int]:
        if not ended and not notes:
            return set()
        results = {key: _result(resolution, series.name, run.policy) for key, resolution in ended.items()}
        with self._database.transaction() as session:
            outcomes.note(session, notes)
            return outcomes.close(session, results)


@dataclass(slots=True)
class _Run:
    """What one run carries along."""

    source: CandleSource
    policy: Policy
    report: ResolutionReport
    now: datetime
    on_closed: OnClosed | None

    def candles(self, market: Market, since: datetime) -> tuple[CandleSeries | None, CandleSeries | None]:
        """The complete candles of a market, and finer ones where there are any."""
        series = self.source.series(market, (since, self.now))
        if series is None:
            return None, None
        finer = self.source.finer(market, series, (since, self.now))
        now_ms = ceil_ms(self.now)
        return series.until(now_ms), None if finer is None else finer.until(now_ms)

    def closed(self, signal_id: str, resolution: Resolution) -> None:
        self.report.add(resolution)
        if self.on_closed is not None:
            self.on_closed(signal_id, resolution)


def resolve_outcomes(candles: Any, **options: Any) -> ResolutionReport:
    """Resolve the open signals of the current app; options as in `Outcomes.resolve`.

    >>> with app.app_context():
    ...     report = resolve_outcomes("data/candles", policy="pessimistic", expiry="3d")
    """
    runtime = current_runtime()
    service = Outcomes(
        runtime.database, runtime.recorder, on_change=runtime.analytics.invalidate, announce=runtime.announce
    )
    return service.resolve(candles, **options)


def resolve_many(signals: Any, candles: Any, **policy: Any) -> Any:
    """What became of many signals, without a database: a list of `Resolution` in their order, or a DataFrame for one.

    Signals are dicts or the rows of a DataFrame, with the names of `signal_history` or of `barriers.resolve`: `symbol`
    and `timeframe` (where the candles have them), `side` or `action`, `entry_price`, `stop_loss`, `take_profit`,
    `signal_time` or `created_at`, and where known `expiry`, `limit_price` and `stop_moves`. `candles` is whatever
    `candles.candle_source` understands, complete candles only. `policy` as in `Outcomes.resolve`.
    """
    rows: Sequence[Mapping[str, Any]] = signals.to_dict("records") if is_frame(signals) else list(signals)
    chosen, source = Policy.of(**policy), candle_source(candles)
    positions = [_position_of(row, chosen) for row in rows]
    markets = [Market(canonical_symbol(row.get("symbol")), canonical_timeframe(row.get("timeframe"))) for row in rows]
    if isinstance(source, GivenCandles) and source.is_anonymous and len({market.symbol for market in markets}) > 1:
        raise InvalidInputError("the candles do not say which symbol they are of; give {'BTCUSDT': candles, …}")
    found: list[Resolution | None] = [None] * len(rows)
    for market, places in _places(markets).items():
        resolved = _resolved([positions[place] for place in places], source, market, chosen)
        for place, resolution in zip(places, resolved, strict=True):
            found[place] = resolution
    return _frame(found, signals.index) if is_frame(signals) else found


def _resolved(positions: Sequence[Position], source: CandleSource, market: Market, policy: Policy) -> list[Resolution]:
    """Without candles of the market the signals are resolved on none, so that what can never be is still told."""
    known = [position.signal_ms for position in positions if position.signal_ms is not None]
    window = (clock.from_epoch_us(min(known, default=0) * 1000), clock.now())
    series = source.series(market, window)
    if series is None:
        nothing = (array("q"), *(array("d") for _ in range(4)))
        return resolve_positions(positions, CandleSeries(nothing, name="none"), policy)  # type: ignore[arg-type]
    return resolve_positions(positions, series, policy, finer=source.finer(market, series, window))


def _places(markets: Iterable[Market]) -> dict[Market, list[int]]:
    places: dict[Market, list[int]] = {}
    for place, market in enumerate(markets):
        places.setdefault(market, []).append(place)
    return places


def _frame(found: Sequence[Any], index: Any) -> Any:
    """The resolutions as a DataFrame with the index of the signals."""
    import pandas

    names = [field.name for field in fields(Resolution)]
    return pandas.DataFrame({name: [getattr(one, name) for one in found] for name in names}, index=index)


def _fault(signal: OpenSignal, policy: Policy) -> str | None:
    """Why no candles can close this signal, if so."""
    plan = plan_of(
        signal.action,
        signal.entry_price,
        stop_loss=signal.stop_loss,
        take_profit=signal.take_profit,
        rules=policy.rules,
    )
    return None if plan.fault is None else str(plan.fault)


def _position(
    signal: OpenSignal, moves: Iterable[tuple[datetime, float]], series: CandleSeries, policy: Policy
) -> Position:
    signal_ms = ceil_ms(signal.created_at)
    is_limit = policy.rules.entry_mode is EntryMode.LIMIT
    return Position(
        side=signal.action,
        entry=signal.entry_price,
        stop=signal.stop_loss,
        target=signal.take_profit,
        signal_ms=signal_ms,
        expiry_ms=_expiry_ms(signal.extra, signal_ms, policy),
        limit=signal.entry_price if is_limit else None,
        stop_moves=tuple((ceil_ms(at), stop) for at, stop in moves),
        resumed=None if _covers(series, signal_ms) else _noted(signal.extra),
    )


def _expiry_ms(extra: Any, signal_ms: int, policy: Policy) -> int | None:
    """When the signal says that it expires, else by the policy."""
    for key in EXPIRY_KEYS:
        value = extra.get(key) if isinstance(extra, Mapping) else None
        try:
            moment = inputs.moment(value, key)
        except InvalidInputError:
            continue
        if moment is not None:
            return ceil_ms(moment)
    return None if policy.expiry_ms is None else signal_ms + policy.expiry_ms


def _covers(series: CandleSeries, signal_ms: int) -> bool:
    """Whether the candles reach back to the signal, so that nothing that was seen before is needed."""
    return len(series) > 0 and series[0][0] < signal_ms + max(series.candle_ms, 1)


def _notes(open_signals: Sequence[OpenSignal], found: Sequence[Resolution]) -> dict[int, dict[str, Any]]:
    """How far the resolver came with each signal that is still open."""
    notes = {}
    for signal, resolution in zip(open_signals, found, strict=True):
        seen = resolution.resumable_from
        if resolution.exit_reason is None and seen is not None and seen > ceil_ms(signal.created_at):
            notes[signal.id] = {name: getattr(resolution, name) for name in NOTED} | {"version": RESOLVER_VERSION}
    return notes


NOTED = (
    "entry_time",
    "entry_price",
    "best_price",
    "worst_price",
    "data_gap",
    "candles_waited",
    "resumable_from",
)


def _noted(extra: Any) -> Resolution | None:
    """The earlier, pending resolution of a signal; None when there is none of this version."""
    kept = extra.get("resolution") if isinstance(extra, Mapping) else None
    if not isinstance(kept, Mapping) or kept.get("version") != RESOLVER_VERSION or not set(NOTED) <= kept.keys():
        return None
    unknown: dict[str, Any] = {field.name: None for field in fields(Resolution)}
    known = {name: kept[name] for name in NOTED}
    return Resolution(**unknown | {"outcome": Outcome.PENDING, "ambiguous": False} | known)


def _result(resolution: Resolution, candle_source: str, policy: Policy) -> dict[str, Any]:
    """The columns of `signal_history` that say how a signal ended."""
    at = resolution.exit_time
    return {
        "outcome": str(resolution.outcome),
        "exit_reason": str(resolution.exit_reason),
        "exit_price": resolution.exit_price,
        "closed_at": None if at is None else clock.from_epoch_us(at * 1000),
        "pnl_percentage": resolution.pnl_percentage,
        "r_multiple": resolution.r_multiple,
        "mfe_pct": resolution.mfe_pct,
        "mae_pct": resolution.mae_pct,
        "mfe_r": resolution.mfe_r,
        "mae_r": resolution.mae_r,
        "resolved_by": RESOLVED_BY,
        "resolver_version": RESOLVER_VERSION,
        "candle_source": candle_source,
        "ambiguity_policy": str(policy.rules.policy),
        "ambiguous": resolution.ambiguous,
        "data_gap": resolution.data_gap,
    }


def _position_of(row: Mapping[str, Any], policy: Policy) -> Position:
    """A signal as a caller holds it."""
    signal_ms = _time(_pick(row, "signal_time", "created_at", "entry_ts", "ts", "timestamp"))
    expiry_ms = _time(_pick(row, "expiry", "expires_at", "valid_until"))
    if expiry_ms is None and policy.expiry_ms is not None and signal_ms is not None:
        expiry_ms = signal_ms + policy.expiry_ms
    return Position(
        side=_side(_pick(row, "side", "action", "direction")),
        entry=_pick(row, "entry_price", "entry"),
        stop=_pick(row, "initial_stop_loss", "stop_loss", "stop_price", "sl"),
        target=_pick(row, "take_profit", "take_profit_price", "tp"),
        signal_ms=signal_ms,
        expiry_ms=expiry_ms,
        limit=_pick(row, "limit_price"),
        stop_moves=tuple((float(epoch_ms(at)), stop) for at, stop in row.get("stop_moves") or ()),
    )


def _pick(row: Mapping[str, Any], *names: str) -> Any:
    """The first of these fields that holds something; NaN, which DataFrames put for nothing, is nothing."""
    for name in names:
        column = find_column(row, (name,))
        value = None if column is None else row[column]
        if value is not None and not (isinstance(value, float) and math.isnan(value)):
            return value
    return None


def _time(value: Any) -> int | None:
    return None if value is None else epoch_ms(value)


def _side(value: Any) -> str | None:
    """BUY, SELL or HOLD; `long` and `short` fold, an unknown word is left for the engine to refuse."""
    folded = fold_action(value)
    return str(folded[0]) if folded is not None else None if value is None else str(value)


def _silent(done: int, total: int) -> None:
    """Progress that nobody watches."""
