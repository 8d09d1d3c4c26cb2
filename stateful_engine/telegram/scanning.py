"""The scanner as a job of the bot: each finding is told once, however many bot processes look at the same market."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stateful_engine.domain import clock
from stateful_engine.domain.timeframes import candle_milliseconds, canonical_timeframe
from stateful_engine.logging import logger
from stateful_engine.services.scanner import THRESHOLD, Analysis, Scan
from stateful_engine.telegram.bot import StatefulBot

JOB_NAME = "stateful_engine_scanner"
DEFAULT_BAR_MS = 900_000


@dataclass(frozen=True, slots=True)
class ScannerJob:
    """What to scan, how often, and whom to tell.

    `fetch(symbol)` gives an analysis as `ScannerLogger.scan` takes it; a plain function runs in a thread.
    """

    symbols: Sequence[str]
    fetch: Callable[[str], Awaitable[Analysis] | Analysis]
    chat_ids: Sequence[int | str]
    interval: float = 300.0
    first: float = 10.0
    threshold: float = THRESHOLD
    timeframe: str = "M15"


class Scanning:
    """Runs one round per call of the job queue."""

    def __init__(self, bot: StatefulBot, job: ScannerJob) -> None:
        self._bot = bot
        self._job = job

    async def __call__(self, _context: Any) -> None:
        """The callback of the job."""
        await self.scan()

    async def scan(self) -> Scan:
        """One round over all symbols; a failing one stops no other."""
        job = self._job
        return await self._bot.scanner.scan_async(
            job.symbols, self._fetch, self._notify, job.threshold, timeframe=job.timeframe
        )

    async def _fetch(self, symbol: str) -> Analysis:
        found = await asyncio.to_thread(self._job.fetch, symbol) if self._plain else self._job.fetch(symbol)
        analysis = await found if inspect.isawaitable(found) else found
        return self._on_its_bar(analysis)

    @property
    def _plain(self) -> bool:
        called = getattr(self._job.fetch, "__call__", None)  # noqa: B004 - an object may be called asynchronously
        return not (inspect.iscoroutinefunction(self._job.fetch) or inspect.iscoroutinefunction(called))

    def _on_its_bar(self, analysis: Analysis) -> Analysis:
        """An analysis that names no bar is of the present one, or every round would tell the same again."""
        technical = analysis.get("technical_analysis")
        if analysis.get("bar_time") or (isinstance(technical, Mapping) and technical.get("bar_time")):
            return analysis
        timeframe = canonical_timeframe(analysis.get("timeframe") or self._job.timeframe)
        length_us = (candle_milliseconds(timeframe) or DEFAULT_BAR_MS) * 1000
        now_us = clock.epoch_us()
        return {**analysis, "bar_time": clock.from_epoch_us(now_us - now_us % length_us)}

    async def _notify(self, text: str) -> None:
        """Tell every chat; only when none could be told does the finding wait for the next round."""
        from telegram.error import TelegramError

        failed: TelegramError | None = None
        told = 0
        for chat_id in self._job.chat_ids:
            try:
                await self._bot.application.bot.send_message(chat_id, text)
                told += 1
            except TelegramError as error:
                failed = error
                logger.warning("the scanner could not tell a chat (%s)", type(error).__name__)
        if failed is not None and not told:
            raise failed
