"""The first page: its numbers are those of the API to the digit, whatever it is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from stateful_engine.dashboard import formats, overview
from stateful_engine.dashboard.rendering import DOOR_KEY
from stateful_engine.domain.extraction import extract_one
from stateful_engine.services import report_funnel
from stateful_engine.services.overview import BREAKDOWNS, COLUMNS
from stateful_engine.storage import figures
from stateful_engine.storage import signals as signals_table
from tests.factories import signal_data

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from stateful_engine.extension import Runtime
    from tests.factories import FakeClock

    AppMaker = Callable[..., Flask]

API = "/api/gpts/state/analytics"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "XAUUSD")


class Reading(HTMLParser):
    """The text of a page by place: cards by their titles, table rows by their first cells, facts by their names."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "link", "input", "option", "br"}:
            self._open.append(f"{tag}.{dict(attrs).get('class') or ''}")

    def handle_endtag(self, tag: str) -> None:
        while self._open and not self._open.pop().startswith(f"{tag}."):
            pass

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((" ".join(self._open), data.strip()))


def words(part: str) -> str:
    """The text of a part of a page."""
    return " ".join(text for _, text in Reading(part).texts)


def cards(page: str) -> dict[str, str]:
    """The whole text of each card."""
    found = re.findall(r'<section class="card[^"]*">(.*?)</section>', page, re.DOTALL)
    texts = [[text for _, text in Reading(card).texts] for card in found]
    return {text[0]: " | ".join(text[1:]) for text in texts}


def rows(page: str) -> dict[str, list[str]]:
    """The cells of the table that tells signals apart, by what they stand for."""
    table = page.partition('id="breakdown"')[2].partition("<tbody>")[2].partition("</tbody>")[0]
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.DOTALL)
    texts = [[words(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in found]
    return {text[0]: text[1:] for text in texts}


@pytest.fixture
def runtime(board: Flask) -> Runtime:
    held: Runtime = board.extensions["stateful_engine"]
    return held


def play(runtime: Runtime, clock: FakeClock, *, count: int = 60) -> None:
    """Signals of the last 80 days: three of four end, as wins of 2 R, losses of 1 R or a breakeven."""
    end = clock.now()
    manager = runtime.state_manager
    for number in range(count):
        clock.set(end)
        clock.advance(days=-80 + number * 80 / count)
        signal_id = manager.save_signal_history(
            signal_data(
                symbol=SYMBOLS[number % 3],
                timeframe=("1H", "4H")[number % 2],
                action=("BUY", "SELL")[number % 5 == 4],
                confidence=50 + number * 7 % 50,
                market_conditions=("BULLISH", "BEARISH")[number % 2],
                ai_model=("gpt-4o", None)[number % 2],
                prompt_version=f"v{number % 2}",
                entry_price=100.0,
                take_profit=104.0 if number % 5 != 4 else 96.0,
                stop_loss=98.0 if number % 5 != 4 else 102.0,
            ),
            {"source": "TELEGRAM", "source_engine": ("smc", "trend")[number % 2]},
        )
        assert runtime.flush()
        if number % 3 == 0:
            manager.track_user_interaction(signal_id, {"type": "CLICK", "source": "TELEGRAM", "user_id": f"u{number}"})
            manager.execute(signal_id, 100.0, source="TELEGRAM", user_id=f"u{number}")
        if number % 4 != 3:
            clock.advance(hours=6)
            outcome, way = (("WIN", 4.0), ("LOSS", -2.0), ("BREAKEVEN", 0.0), ("LOSS", -2.0))[number % 7 % 4]
            exit_price = 100.0 + (way if number % 5 != 4 else -way)
            manager.record_outcome(signal_id, outcome, exit_price=exit_price)
    clock.set(end)
    assert runtime.flush()


QUESTIONS = (
    "",
    "days=7",
    "days=90",
    "days=365&action=BUY",
    "days=all",
    "days=90&symbol=BTC/USDT",
    "days=90&timeframe=H1&executed=true",
    "days=90&executed=false&min_confidence=70",
    "days=all&engine=smc&model=gpt-4o",
)


def test_every_number_is_that_of_the_api(reader: FlaskClient, runtime: Runtime, clock: FakeClock) -> None:
    play(runtime, clock)
    for question in QUESTIONS:
        page = reader.get(f"/state/?{question}").text
        asked = question.replace("days=all", "days=0") or "days=30"
        signals, calibration, funnel, charts = (
            reader.get(f"{API}/{name}?{asked}").json["analytics"]
            for name in ("signals", "calibration", "funnel", "charts")
        )
        assert_cards(cards(page), signals)
        assert_calibration(page, calibration)
        for stage in funnel["stages"]:
            assert f"{stage['stage']}: {stage['count']}" in page
        assert_footer(page, signals)
        for one in charts["r_by_day"]["all"]:
            assert f"{one['day']}: {formats.signed(one['r'])} R in {one['closed']}" in page


def assert_cards(found: dict[str, str], signals: dict[str, Any]) -> None:
    show = formats
    total, expectancy, win, factor, drawdown, executed = found.values()
    assert total.startswith(show.r(signals["total_r"]))
    assert show.signed(signals["expectancy"]) in expectancy
    if signals["expectancy_ci"]:
        assert show.interval(signals["expectancy_ci"]) in expectancy
    assert win.startswith(show.percent(signals["win_rate"]))
    assert show.interval(signals["win_rate_ci"]) in win
    assert f"n = {signals['win_rate_n']}" in win
    if signals["break_even_win_rate"] is not None:
        assert f"breaks even at {show.percent(signals['break_even_win_rate'])}" in win
    assert factor.startswith(show.number(signals["profit_factor"]))
    assert drawdown.startswith(show.number(signals["max_drawdown"]))
    assert f"now {show.number(signals['current_drawdown'])} R" in drawdown
    assert executed.startswith(show.percent(signals["execution_rate"]))
    assert f"{signals['executed_signals']} of {signals['total_signals']} signals" in executed


def assert_calibration(page: str, calibration: dict[str, Any]) -> None:
    facts = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+?)\s*<", page))
    assert facts["Brier score"] == formats.number(calibration["brier"], 4)
    assert facts["Calibration error"] == formats.number(calibration["expected_calibration_error"], 4)
    assert facts["AUC"] == formats.number(calibration["auc"], 4)
    assert facts["Judged signals"] == str(calibration["n"])


def assert_footer(page: str, signals: dict[str, Any]) -> None:
    footer = " ".join(page.partition("<footer>")[2].split())
    assert f"n = {signals['total_signals']} signals, {signals['closed_signals']} closed" in footer
    assert ("ambiguity policy" in footer) == (signals["ambiguous_wins"] + signals["ambiguous_losses"] > 0)
    assert "UTC" in footer


def test_outcomes_that_rest_on_a_policy_are_said_with_what_they_leave_open(board: Flask) -> None:
    counts = {"total_signals": 12, "closed_signals": 10, "pending_signals": 2, "win_rate_bounds": [50.0, 80.0]}
    parts: Any = board.extensions[DOOR_KEY].environment.get_template("stateful_engine/figures.html").module
    said = parts.policy({**counts, "ambiguous_wins": 1, "ambiguous_losses": 2})
    assert "3 outcomes; whatever the truth, the win rate lies between 50 and 80 %" in said


FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"symbol": "BTCUSDT"},
    {"executed": True, "min_confidence": 60},
    {"engine": "smc", "timeframe": "1H"},
)


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    """A report without the moment at which it was made, nor medians of durations."""
    stages = [{key: value for key, value in stage.items() if key != "median_seconds"} for stage in report["stages"]]
    return {"period_days": report["period_days"], "stages": stages}


def test_what_is_read_at_once_is_what_each_report_says(runtime: Runtime, clock: FakeClock) -> None:
    play(runtime, clock)
    runtime.state_manager.cleanup_old_data(85)
    clock.advance(days=20)
    runtime.state_manager.cleanup_old_data(85)
    analytics = runtime.analytics
    for days in (0, 30, 90, 100):
        for filters in FILTERS:
            at_once = analytics.overview(days, by="model", **filters)
            for name in ("signals", "charts", "calibration"):
                alone = getattr(analytics, name)(days, **filters)
                assert at_once[name] == {key: alone[key] for key in at_once[name]}, (name, days, filters)
            assert at_once["funnel"] == without_times(analytics.funnel(days, **filters)), (days, filters)
            for name, by in (("pairs", "symbol_timeframe"), ("breakdown", "model")):
                assert at_once[name] == analytics.signals(days, by=by, **filters)["breakdown"]
            if days:
                before = analytics.signals(days, days_ago=days, **filters)
                assert at_once["before"] == {key: before[key] for key in at_once["before"]}


def test_of_very_many_filtered_signals_those_that_were_only_seen_are_not_looked_up(
    reader: FlaskClient, runtime: Runtime, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(runtime, clock, count=12)
    monkeypatch.setattr(report_funnel, "MOST_FOLLOWED", 11)
    stages = runtime.analytics.overview(0, min_confidence=1)["funnel"]["stages"]
    assert [stage["stage"] for stage in stages] == ["generated", "executed", "closed"]
    remark = "those that were only seen are not counted"
    assert remark in reader.get("/state/?days=all&min_confidence=1").text
    assert remark not in reader.get("/state/?days=all").text


def test_figures_of_few_cases_are_faint_and_say_so(reader: FlaskClient, runtime: Runtime, clock: FakeClock) -> None:
    play(runtime, clock, count=12)
    page = reader.get("/state/?days=90").text
    assert page.count('class="card is-thin"') == 6
    assert "too few cases" in page


def test_the_table_tells_signals_apart_as_the_api_does(reader: FlaskClient, runtime: Runtime, clock: FakeClock) -> None:
    play(runtime, clock)
    for by, name in BREAKDOWNS.items():
        found = rows(reader.get(f"/state/?days=90&by={by}").text)
        cells = reader.get(f"{API}/signals?days=90&by={name}").json["analytics"]["breakdown"]
        assert list(found) == [str(cell["value"] or "–") for cell in cells]
        for cell in cells:
            shown = found[str(cell["value"] or "–")]
            assert shown[0] == str(cell["count"])
            assert shown[2].endswith(str(cell["n"]))
            assert ("n<20" in shown[2]) == cell["thin"]
            assert shown[3].startswith(formats.percent(cell["win_rate"]))
            assert shown[6] == formats.signed(cell["avg_r"])


def test_a_heading_puts_the_table_in_its_order_and_turns_it(
    reader: FlaskClient, runtime: Runtime, clock: FakeClock
) -> None:
    play(runtime, clock)
    for name in COLUMNS:
        down = list(rows(reader.get(f"/state/?days=90&by=symbol&sort={name}").text))
        up = list(rows(reader.get(f"/state/?days=90&by=symbol&sort={name}&order=asc").text))
        assert sorted(down) == sorted(up) == sorted(SYMBOLS)
    page = reader.get("/state/?days=90&by=symbol&sort=value&symbol=").text
    assert list(rows(page)) == sorted(SYMBOLS, reverse=True)
    assert (
        'aria-sort="descending"><a href="/state/?days=90&amp;by=symbol&amp;sort=value&amp;order=asc#breakdown"' in page
    )
    turned = reader.get("/state/?days=90&by=symbol&sort=value&order=asc").text
    assert 'aria-sort="ascending"' in turned
    assert list(rows(turned)) == sorted(SYMBOLS)


def test_cells_that_say_nothing_come_last_either_way(reader: FlaskClient, runtime: Runtime, clock: FakeClock) -> None:
    play(runtime, clock)
    for order in ("asc", "desc"):
        assert list(rows(reader.get(f"/state/?days=90&by=model&sort=value&order={order}").text)) == ["gpt-4o", "–"]


def test_cards_say_how_it_was_in_the_window_before(reader: FlaskClient, runtime: Runtime, clock: FakeClock) -> None:
    play(runtime, clock)
    now, before = (
        reader.get(f"{API}/signals?days=30&days_ago={ago}").json["analytics"]["execution_rate"] for ago in (0, 30)
    )
    card = cards(reader.get("/state/").text)["Execution rate"]
    moved = formats.signed(round(now - before, 4))
    assert (f"{moved} points" if now != before else "no change") in card
    assert f"(was {formats.percent(before)})" in card
    assert "nothing to compare with" in cards(reader.get("/state/?days=365").text)["Total R"]
    assert "(was" not in cards(reader.get("/state/?days=all").text)["Total R"]


def test_a_signal_without_a_known_r_leaves_the_other_figures_comparable(
    reader: FlaskClient, runtime: Runtime, clock: FakeClock
) -> None:
    play(runtime, clock)
    unknown = runtime.state_manager.save_signal_history(signal_data(entry_price=None, stop_loss=None, take_profit=None))
    assert runtime.flush()
    runtime.state_manager.record_outcome(unknown, "WIN", pnl_percentage=1.0)

    found = cards(reader.get("/state/").text)

    assert {title for title, text in found.items() if "(was" in text} == {"Total R", "Win rate", "Execution rate"}
    assert "are counted in R" in found["Expectancy"]


def test_the_lists_show_open_and_recent_signals_that_meet_the_filters(
    reader: FlaskClient, runtime: Runtime, clock: FakeClock
) -> None:
    play(runtime, clock)
    page = reader.get("/state/?days=90&symbol=BTCUSDT&model=gpt-4o&min_confidence=60&executed=true").text
    lists = page.partition("Open signals")[2]
    named = set(re.findall(r'scope="row">\s*(?:<a [^>]*>)?([^<]+)', lists))
    assert named
    assert {name.split()[1] for name in named} == {"BTCUSDT"}


def test_advice_to_wait_is_no_open_signal(reader: FlaskClient, runtime: Runtime) -> None:
    for action in ("HOLD", "SELL"):
        runtime.state_manager.save_signal_history(signal_data(action=action))
    assert runtime.flush()
    opened, recent = reader.get("/state/").text.partition("Open signals")[2].split("Recent signals")
    assert "SELL BTCUSDT" in opened
    assert "HOLD BTCUSDT" not in opened
    assert "HOLD BTCUSDT" in recent


@pytest.mark.parametrize(
    ("name", "earlier", "value", "tone"),
    [
        ("win_rate", 40.0, 50.0, "good"),
        ("win_rate", 50.0, 40.0, "bad"),
        ("max_drawdown", 5.0, 9.0, "bad"),
        ("max_drawdown", 9.0, 5.0, "good"),
        ("execution_rate", 10.0, 20.0, ""),
        ("win_rate", 40.0, 40.0, ""),
    ],
)
def test_a_change_is_good_or_bad_only_where_enough_cases_say_so(
    name: str, earlier: float, value: float, tone: str
) -> None:
    def report(figure: float, n: int) -> dict[str, Any]:
        return {name: figure, "n": n, "risk_unit": "R", "period_days": 30}

    def card(n: int, n_before: int) -> overview.Card:
        return overview._card("", report(value, n), report(earlier, n_before), name, "n", unit="", note="")

    assert card(20, 20).tone == tone
    assert card(19, 20).tone == card(20, 19).tone == ""


def end(runtime: Runtime, signal_id: str, **result: Any) -> None:
    """Write how a signal ended, as the resolver does."""
    with runtime.database.transaction() as session:
        row = signals_table.lock(session, signal_id)
        assert row is not None
        signals_table.set_outcome(session, row, result)


def test_the_sample_of_excursions_is_bounded_and_newest_first(
    reader: FlaskClient, runtime: Runtime, clock: FakeClock
) -> None:
    manager = runtime.state_manager
    for number in range(4):
        clock.advance(minutes=1)
        signal_id = manager.save_signal_history(signal_data(entry_price=100.0, stop_loss=99.0, take_profit=102.0))
        assert runtime.flush()
        end(runtime, signal_id, outcome="WIN", mae_r=0.25 * number, mfe_r=2.0, r_multiple=2.0)
    with runtime.database.reading() as session:
        found = figures.excursions(session.connection(), figures.SignalConditions(), since=None)
    assert [row["mae_r"] for row in found] == [0.75, 0.5, 0.25, 0.0]
    page = reader.get("/state/").text
    assert "4 closed signals, 4 of them wins" in page
    assert "500 at most; 4 of them have known excursions" in page


def test_an_empty_database_is_a_page_that_says_how_to_fill_it(reader: FlaskClient) -> None:
    for question in QUESTIONS:
        answer = reader.get(f"/state/?{question}")
        assert answer.status_code == 200
        assert "nan" not in answer.text.lower()
        assert "None" not in answer.text
    page = reader.get("/state/").text
    assert "No signal was recorded in the last 30 days" in page
    assert "demo-traffic" in page
    assert "No signal of this period meets these filters" in reader.get("/state/?symbol=BTCUSDT").text


@pytest.mark.parametrize(
    "question",
    "days=x days=-1 days=99999 executed=maybe min_confidence=101 min_confidence=nan by=shoe sort=id".split(),
)
def test_a_question_that_cannot_be_meant_is_answered_with_the_remedy(reader: FlaskClient, question: str) -> None:
    answer = reader.get(f"/state/?{question}")
    assert answer.status_code == 422
    assert question.partition("=")[0] in answer.text


def test_parameters_of_nobody_do_nothing(reader: FlaskClient) -> None:
    page = reader.get("/state/?_external=1&_scheme=javascript&_anchor=x&days=7&sort=n").text
    assert "javascript" not in page
    assert 'href="/state/?days=7&amp;' in page


EVIL = "<img src=x onerror=alert(1)>\"'{{7*7}}"


def test_what_models_and_strangers_wrote_stays_text(reader: FlaskClient, runtime: Runtime) -> None:
    fields = ("symbol", "timeframe", "ai_reasoning", "market_conditions", "ai_model", "prompt_version", "source_engine")
    for number, name in enumerate(fields):
        given = signal_data(entry_price=100.0 + number, stop_loss=99.0, take_profit=110.0, **{name: EVIL})
        context = {"source": EVIL, "source_engine": EVIL, "user_id": EVIL}
        saved = runtime.state_manager.save_extracted(extract_one(given), context, durable=True)
        if number % 2:
            end(runtime, saved.id, outcome="LOSS", mae_r=1.0, mfe_r=0.5, r_multiple=-1.0, exit_reason=EVIL)
    query = dict.fromkeys(("symbol", "engine", "model", "timeframe"), EVIL)
    for by in BREAKDOWNS:
        for asked in ({}, query):
            answer = reader.get("/state/", query_string={**asked, "by": by})
            assert answer.status_code == 200
            assert "<img" not in answer.text
            assert ">49" not in answer.text
            assert "&lt;img src=x" in answer.text
    assert "&lt;img" in reader.get("/state/", query_string={"by": EVIL}).text
