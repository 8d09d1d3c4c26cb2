"""`ScannerLogger`: looks at a list of symbols, keeps what it saw, and tells somebody what deserves it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, overload

from stateful_engine.domain import clock
from stateful_engine.domain.timeframes import canonical_timeframe
from stateful_engine.errors import InvalidInputError, NotFoundError
from stateful_engine.logging import logger
from stateful_engine.services import inputs
from stateful_engine.services.binding import Bound
from stateful_engine.services.recommendations import confidence_of, direction_of
from stateful_engine.storage import scanner
from stateful_engine.storage.pages import Page
from stateful_engine.storage.scanner import ScannerResult

THRESHOLD = 70.0
UNKNOWN_REGIME = "UNKNOWN"

Analysis = Mapping[str, Any]
Fetch = Callable[[str], Analysis]
Notify = Callable[[str], object]


@dataclass(slots=True)
class Scan:
    """What one round of the scanner came to: result ids by symbol, who was told, and what failed."""

    results: dict[str, int] = field(default_factory=dict)
    notified: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Finding:
    symbol: str
    result_id: int
    direction: str
    confidence: float


class ScannerLogger(Bound):
    """Keeps what the scanner saw, and sees to it that each finding is told once."""

    def log_result(
        self,
        symbol: str,
        timeframe: str = "M15",
        direction: str = "HOLD",
        confidence: float | None = 0,
        rsi: float | None = None,
        adx: float | None = None,
        atr: float | None = None,
        market_regime: str | None = UNKNOWN_REGIME,
        reason: str = "",
        bar_time: Any = None,
        *,
        signal_id: str | None = None,
    ) -> int:
        """Record one look at one symbol; returns its id.

        With `bar_time` (datetime, ISO 8601 or epoch seconds) the same direction on the same bar is kept once, and the
        id of the first is returned.
        """
        instrument = inputs.instrument(symbol)
        if instrument is None:
            raise InvalidInputError("symbol is missing; send the instrument, for example XAUUSD")
        values = {
            "symbol": instrument,
            "timeframe": canonical_timeframe(timeframe) or inputs.text(timeframe) or "",
            "direction": direction_of(direction),
            "confidence": confidence_of(confidence),
            "rsi": inputs.optional_finite(rsi, "rsi"),
            "adx": inputs.optional_finite(adx, "adx"),
            "atr": inputs.optional_finite(atr, "atr"),
            "market_regime": inputs.text(market_regime) or UNKNOWN_REGIME,
            "reason": inputs.text(reason, most=4096),
            "bar_time": inputs.moment(bar_time, "bar_time"),
            "detected_at": clock.now(),
            "signal_id": inputs.text(signal_id),
        }
        with self._database.transaction() as session:
            return scanner.insert(session, values)

    def mark_notified(self, result_id: int) -> bool:
        """Mark a result as told; True for the first caller only. Raises `NotFoundError` for an unknown id."""
        wanted = inputs.whole(result_id, "result_id")
        with self._database.transaction() as session:
            if scanner.mark_notified(session, wanted, clock.now()):
                return True
            if not scanner.exists(session, wanted):
                raise NotFoundError(f"no scanner result has the id {wanted}; use the id that log_result returned")
            return False

    def get_stats(self, days: int = 7) -> list[dict[str, Any]]:
        """Per symbol and direction: `count`, `avg_confidence`, `notified_count`."""
        window = inputs.days(days)
        since = clock.now() - timedelta(days=window) if window else None
        with self._database.reading() as session:
            rows = scanner.by_symbol(session, since)
        return [dict(row) | {"avg_confidence": round(float(row["avg_confidence"] or 0), 2)} for row in rows]

    @overload
    def scan(
        self,
        symbols: Iterable[str],
        fetch: Callable[[str], Awaitable[Analysis]],
        notify: Callable[[str], Awaitable[object]],
        threshold: float = THRESHOLD,
        *,
        timeframe: str = "M15",
    ) -> Awaitable[Scan]: ...
    @overload
    def scan(
        self,
        symbols: Iterable[str],
        fetch: Fetch,
        notify: Notify,
        threshold: float = THRESHOLD,
        *,
        timeframe: str = "M15",
    ) -> Scan: ...
    def scan(
        self,
        symbols: Iterable[str],
        fetch: Any,
        notify: Any,
        threshold: float = THRESHOLD,
        *,
        timeframe: str = "M15",
    ) -> Scan | Awaitable[Scan]:
        """Fetch each symbol's analysis, record it, and tell what reaches `threshold`; a failing symbol stops no other.

        `fetch(symbol)` gives `{"technical_analysis": {"trade_recommendation": {direction, confidence, reasoning},
        "indicators": {rsi, adx, atr14}, "market_regime"}}`; `notify(text)` sends a message. When one of them is
        asynchronous, the scan is to be awaited.
        """
        if inspect.iscoroutinefunction(fetch) or inspect.iscoroutinefunction(notify):
            return self.scan_async(symbols, fetch, notify, threshold, timeframe=timeframe)
        return self._scan(symbols, fetch, notify, threshold, timeframe)

    def _scan(self, symbols: Iterable[str], fetch: Fetch, notify: Notify, threshold: float, timeframe: str) -> Scan:
        done = Scan()
        for symbol in symbols:
            with _isolated(done, symbol):
                finding = self._record(symbol, fetch(symbol), timeframe, done)
                if self._claims(finding, threshold):
                    self._tell(finding, notify, done)
        return done

    async def scan_async(
        self,
        symbols: Iterable[str],
        fetch: Callable[[str], Awaitable[Analysis] | Analysis],
        notify: Callable[[str], Awaitable[object] | object],
        threshold: float = THRESHOLD,
        *,
        timeframe: str = "M15",
    ) -> Scan:
        """As `scan`, for asynchronous `fetch` and `notify`; the database works in a thread."""
        done = Scan()
        for symbol in symbols:
            with _isolated(done, symbol):
                analysis = await _awaited(fetch(symbol))
                finding = await asyncio.to_thread(self._record, symbol, analysis, timeframe, done)
                if await asyncio.to_thread(self._claims, finding, threshold):
                    await self._tell_async(finding, notify, done)
        return done

    def _record(self, symbol: str, analysis: Analysis, timeframe: str, done: Scan) -> _Finding:
        seen = _read(analysis)
        result_id = self.log_result(symbol, analysis.get("timeframe") or timeframe, **seen)
        done.results[symbol] = result_id
        return _Finding(symbol, result_id, direction_of(seen["direction"]), confidence_of(seen["confidence"]) or 0.0)

    def _claims(self, finding: _Finding, threshold: float) -> bool:
        """Whether this process is the one that tells: only one of several bots gets the claim."""
        return finding.confidence >= threshold and self.mark_notified(finding.result_id)

    def _tell(self, finding: _Finding, notify: Notify, done: Scan) -> None:
        told = False
        try:
            notify(message_of(finding.symbol, finding.direction, finding.confidence))
            told = True
        finally:
            self._told(finding, told, done)

    async def _tell_async(
        self, finding: _Finding, notify: Callable[[str], Awaitable[object] | object], done: Scan
    ) -> None:
        told = False
        try:
            await _awaited(notify(message_of(finding.symbol, finding.direction, finding.confidence)))
            told = True
        finally:
            await asyncio.to_thread(self._told, finding, told, done)

    def _told(self, finding: _Finding, told: bool, done: Scan) -> None:
        """Keep the claim of a message that went out; give back that of one that did not, so that it is tried again."""
        if told:
            done.notified.append(finding.symbol)
            return
        with self._database.transaction() as session:
            scanner.release(session, finding.result_id)

    def page(self, limit: int = 50, cursor: str | None = None, *, days: int = 0, symbol: Any = None) -> Page:
        """One page of results, newest first; `days=0` looks at all of them."""
        return self._page(ScannerResult, limit, cursor, days, symbol=inputs.text(symbol))


def message_of(symbol: str, direction: str, confidence: float) -> str:
    """The text of a notification."""
    return (
        "High-Confidence Signal Detected\n"
        f"Symbol: {symbol}\nDirection: {direction}\nConfidence: {confidence:g}%\n"
        "Use /chatgpt for the full analysis."
    )


def _read(analysis: Analysis) -> dict[str, Any]:
    """The fields of a result from the answer of an analysis endpoint."""
    technical = _part(analysis, "technical_analysis")
    advice, indicators = _part(technical, "trade_recommendation"), _part(technical, "indicators")
    return {
        "direction": advice.get("direction", "HOLD"),
        "confidence": advice.get("confidence", 0),
        "reason": advice.get("reasoning") or "",
        "rsi": indicators.get("rsi"),
        "adx": indicators.get("adx"),
        "atr": indicators.get("atr14", indicators.get("atr")),
        "market_regime": technical.get("market_regime") or UNKNOWN_REGIME,
        "bar_time": technical.get("bar_time", analysis.get("bar_time")),
    }


def _part(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = whole.get(name)
    return part if isinstance(part, Mapping) else {}


class _isolated:
    """Keeps the failure of one symbol to itself: it is logged and noted, and the next symbol has its turn."""

    def __init__(self, done: Scan, symbol: str) -> None:
        self._done = done
        self._symbol = symbol

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if not isinstance(error, Exception):
            return False
        symbol = inputs.text(self._symbol, most=64) or ""
        self._done.failed[symbol] = type(error).__name__
        logger.warning("the scanner could not finish %s (%s)", symbol, type(error).__name__)
        return True


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
