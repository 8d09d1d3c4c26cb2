"""The scanner: what it saw, and whom it told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask.typing import ResponseReturnValue

from stateful_engine.dashboard import formats
from stateful_engine.dashboard.listings import Asked, Column, Filter, Listing, asked, context
from stateful_engine.dashboard.rendering import render
from stateful_engine.services.performance import PerformanceDashboard
from stateful_engine.services.scanner import ScannerLogger

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime
    from stateful_engine.storage.pages import Page

MOST_MARKETS = 50


def _fetch(runtime: Runtime, wanted: Asked, limit: int) -> Page:
    scanner = ScannerLogger(runtime.database)
    return scanner.page(limit, wanted.cursor, days=wanted.days, symbol=wanted.get("symbol"))


LISTING = Listing(
    name="scanner",
    title="Scanner",
    columns=(
        Column("Seen", "detected_at", formats.moment),
        Column("Symbol", "symbol"),
        Column("Timeframe", "timeframe"),
        Column("Direction", "direction"),
        Column("Confidence", "confidence", formats.number, is_number=True),
        Column("RSI", "rsi", formats.number, is_number=True),
        Column("ADX", "adx", formats.number, is_number=True),
        Column("ATR", "atr", formats.number, is_number=True),
        Column("Regime", "market_regime"),
        Column("Reason", "reason", formats.excerpt, is_long=True),
        Column("Told", "notified", formats.yes_no),
        Column("Bar", "bar_time", formats.moment),
    ),
    filters=(Filter("symbol", "Symbol"),),
    fetch=_fetch,
    empty="The scanner saw nothing in this period, or nothing of this symbol.",
    command='ScannerLogger().scan(["XAUUSD", "BTCUSD"], fetch, notify)',
    days=7,
)


def view(runtime: Runtime) -> ResponseReturnValue:
    """What was seen by symbol and direction, and one page of it, newest first."""
    wanted = asked(LISTING)
    report = PerformanceDashboard(runtime.database).get_signal_scanner_stats(wanted.days)
    return render("scanner.html", markets=report["signals"][:MOST_MARKETS], **context(runtime, LISTING, wanted))
