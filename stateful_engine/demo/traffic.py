"""Traffic for the demo: signals of the last weeks, who looked at them, who acted, and how the market decided.

Everything goes through the public calls of the engine; only the clock is set back, so that it lies in the past.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from stateful_engine import (
    ConflictError,
    Experiments,
    StorageUnavailableError,
    get_state_manager,
    log_user_interaction,
    track_signal_execution,
    track_telegram_click,
)
from stateful_engine.demo.candles import CandleStore, Series, rounded, seconds_of
from stateful_engine.demo.people import Played, at, talk
from stateful_engine.demo.strategy import LEAST_CANDLES, MODEL, analyse
from stateful_engine.domain import clock
from stateful_engine.domain.vocabulary import Action
from stateful_engine.globals import current_runtime
from stateful_engine.services.outcomes import resolve_outcomes

EXPERIMENT = "prompt-v2"
PRICES = ("open", "high", "low", "close")
CONTEXT_CANDLES = 200
LONGEST_SPAN = 800
"""Candles of one market in which signals are placed; short candles cover the last days only."""

FLUSH_SECONDS = 60.0
PATIENCE = 96
"""Candles after which a trade that reached neither stop nor target is closed."""

ENGINES = {"trend_rules": "/api/gpts/signal", "sharp_rules": "/api/gpts/sinyal/tajam"}
SOURCES = ("CHAT_GPT", "CHAT_GPT", "TELEGRAM", "WEB")
READERS = 40
CLICK_SHARE, EXECUTION_SHARE, FEEDBACK_SHARE, FAILURE_SHARE = 0.7, 0.65, 0.12, 0.04


class Seen(NamedTuple):
    """Who looked at a signal, and when."""

    reader: str
    moment: datetime


def play(store: CandleStore, *, signals: int, seed: int, days: int = 30) -> Counter[str]:
    """Play `signals` signals of the last `days` days and what followed them; counts by kind.

    The same seed gives the same story, apart from the ids. Needs an app context.
    """
    dice = random.Random(seed)
    counts: Counter[str] = Counter()
    experiments = Experiments()
    _begin_experiment(experiments, days)
    told = [_tell(scene, experiments, dice, counts) for scene in _scenes(store, dice, signals, days)]
    _stored()
    seen = [_look(scene, dice, counts) for scene in told]
    _stored()
    for scene, reader in zip(told, seen, strict=True):
        _act(scene, reader, dice, counts)
    _close(store, days, [scene.signal_id for scene in told], counts)
    talk(told, dice, counts)
    return counts


def _stored() -> None:
    """Wait until what was recorded is in the database, so that what follows finds it."""
    if not current_runtime().flush(FLUSH_SECONDS):
        raise StorageUnavailableError("the database does not take the records; look at `flask stateful doctor`")


# What was said


def _scenes(store: CandleStore, dice: random.Random, signals: int, days: int) -> list[Played]:
    """The moments of the play in the order of time, spread over all markets that have enough candles."""
    spans = [_span(store, symbol, timeframe, days) for symbol, frames in store.markets.items() for timeframe in frames]
    long_enough = [series for series in spans if len(series.candles) > LEAST_CANDLES]
    if not long_enough:
        raise ValueError(f"no market has more than {LEAST_CANDLES} candles; give a folder with longer files")
    now = clock.now()
    scenes = [_scene(dice.choice(long_enough), dice, now, days) for _ in range(signals)]
    return sorted(scenes, key=lambda scene: scene.moment)


def _span(store: CandleStore, symbol: str, timeframe: str, days: int) -> Series:
    count = min(days * 86_400 // seconds_of(timeframe), LONGEST_SPAN)
    return store.series(symbol, timeframe, count=CONTEXT_CANDLES + count)


def _scene(series: Series, dice: random.Random, now: datetime, days: int) -> Played:
    """A signal at the close of a random candle; the last candle of any series counts as closed just now."""
    count = len(series.candles)
    oldest = max(LEAST_CANDLES, count - days * 86_400 // series.seconds)
    end = dice.randint(oldest, count)
    age = timedelta(seconds=(count - end) * series.seconds + dice.uniform(1, min(series.seconds, 1800)))
    moment = now - min(age, timedelta(days=days, hours=-1))
    analysis = analyse(series.until(end, count=CONTEXT_CANDLES))
    return Played(moment, analysis)


def _begin_experiment(experiments: Experiments, days: int) -> None:
    """Two versions of a prompt, compared from the first day on."""
    try:
        with at(clock.now() - timedelta(days=days)):
            experiments.create(EXPERIMENT, {"prompt": "v1"}, {"prompt": "v2"}, "Does the second prompt advise better?")
            experiments.start(EXPERIMENT)
    except ConflictError:
        return


def _tell(scene: Played, experiments: Experiments, dice: random.Random, counts: Counter[str]) -> Played:
    """Log the query and its signal, and now and then one that failed."""
    engine = dice.choice(list(ENGINES))
    source = dice.choice(SOURCES)
    series = scene.analysis.series
    context = _caller(source, dice) | {"source": source, "source_engine": engine, "endpoint": ENGINES[engine]}
    query = {
        "endpoint": ENGINES[engine],
        "method": "GET" if engine == "trend_rules" else "POST",
        "params": {"symbol": series.symbol, "tf": series.timeframe},
    }
    manager = get_state_manager()
    with at(scene.moment):
        if dice.random() < FAILURE_SHARE:
            manager.log_gpt_query(query, _answer(None, 500, dice), context)
            counts["failed queries"] += 1
        with _served(experiments, context.get("user_ref")) as prompt:
            signal = _signal(scene, prompt)
            context["query_id"] = manager.log_gpt_query(query, _answer(signal, 200, dice), context)
            signal_id = manager.save_signal_history(signal, context)
    counts["signals"] += 1
    return Played(scene.moment, scene.analysis, signal_id)


@contextmanager
def _served(experiments: Experiments, reader: str | None) -> Iterator[str]:
    """The prompt that answers a reader; whoever is not known gets the first one, outside the experiment."""
    if reader is None:
        yield "v1"
        return
    with experiments.exposed(experiments.assign(EXPERIMENT, reader)) as served:
        yield (served.config or {}).get("prompt", "v1")


def _signal(scene: Played, prompt: str) -> dict[str, Any]:
    """The idea with the prompt that it was worded by, good for as many candles as the demo is patient."""
    lasts = timedelta(seconds=PATIENCE * scene.analysis.series.seconds)
    return scene.analysis.signal() | {"prompt_version": prompt, "expires_at": (scene.moment + lasts).isoformat()}


def _answer(signal: dict[str, Any] | None, status: int, dice: random.Random) -> dict[str, Any]:
    data = {"status": "success", "signal": signal} if signal else {"status": "error"}
    took = {"processing_time_ms": round(dice.lognormvariate(3.4, 0.5), 1), "ai_model": MODEL}
    return {"status_code": status, "data": data, **took}


def _caller(source: str, dice: random.Random) -> dict[str, Any]:
    """Who asked; a custom GPT says which conversation and which pseudonym it asks for."""
    reader = dice.randrange(READERS)
    if source != "CHAT_GPT":
        return {"user_agent": "TelegramBot (demo)" if source == "TELEGRAM" else "Mozilla/5.0 (demo)"}
    return {
        "user_agent": "ChatGPT-User/1.0 (demo)",
        "conversation_ref": f"demo-conversation-{dice.randrange(READERS * 3)}",
        "user_ref": f"demo-reader-{reader}",
        "gpt_id": "g-demo",
    }


# What followed


def _look(scene: Played, dice: random.Random, counts: Counter[str]) -> Seen:
    """Views and clicks, as far as they lie before now."""
    reader = f"demo-reader-{dice.randrange(READERS)}"
    moment = scene.moment + timedelta(seconds=dice.uniform(5, 600))
    if dice.random() < CLICK_SHARE and _happened(moment):
        with at(moment):
            _touch(scene.signal_id, reader, dice, counts)
    return Seen(reader, moment)


def _touch(signal_id: str, reader: str, dice: random.Random, counts: Counter[str]) -> None:
    if dice.random() < 0.5:
        track_telegram_click(signal_id, chat_id=dice.randrange(10**6, 10**7), username=reader, user_id=reader)
    else:
        log_user_interaction(signal_id, dice.choice(("VIEW", "CLICK", "SHARE")), "WEB", reader)
    if dice.random() < FEEDBACK_SHARE:
        log_user_interaction(signal_id, "FEEDBACK", "WEB", reader, {"rating": dice.randint(1, 5)})
        counts["interactions"] += 1
    counts["interactions"] += 1


def _act(scene: Played, seen: Seen, dice: random.Random, counts: Counter[str]) -> None:
    """An execution, when there is something to execute and time for it."""
    moment = seen.moment + timedelta(seconds=dice.uniform(5, 900))
    if scene.analysis.action is Action.HOLD or dice.random() >= EXECUTION_SHARE or not _happened(moment):
        return
    with at(moment):
        price = rounded(scene.analysis.entry * dice.uniform(0.9995, 1.0005))
        track_signal_execution(scene.signal_id, price, source=dice.choice(("TELEGRAM", "WEB")), user_id=seen.reader)
    counts["executions"] += 1


def _close(store: CandleStore, days: int, signal_ids: list[str], counts: Counter[str]) -> None:
    """What the candles since then have decided: which of stop and target was touched first, or that time ran out."""

    def fetch(symbol: str, timeframe: str, *_: datetime) -> dict[str, list[float]]:
        series = _span(store, symbol, timeframe, days)
        # The last candle counts as closed just now, as it did when the scenes were laid out.
        late = (clock.now() - series.closed_at) // timedelta(milliseconds=1)
        columns = {"ts": [float(candle.opened_ms + late) for candle in series.candles]}
        return columns | {name: [getattr(candle, name) for candle in series.candles] for name in PRICES}

    report = resolve_outcomes(fetch, signal_ids=signal_ids)
    counts["outcomes"] += report.resolved
    counts["still open"] += report.left_open.total()


def _happened(moment: datetime) -> bool:
    return moment <= clock.now()
