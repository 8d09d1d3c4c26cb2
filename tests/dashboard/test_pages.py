"""The pages with records: each is full when there is something, says what fills it when not, and shows text as text."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from stateful_engine import AnalyticsLogger, ChatGPTLogger, JournalRepo, RecommendationLogger, get_state_manager
from stateful_engine.dashboard import downloads, listings, system
from stateful_engine.dashboard.pages import PAGES, Page
from stateful_engine.domain import clock as house_clock
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services.api_keys import ApiKeys
from tests.dashboard import stage
from tests.factories import signal_data

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from tests.databases import SqliteTemplate

    AppMaker = Callable[..., Flask]

LISTS = ("signals", "queries", "conversations", "recommendations", "scanner", "engagement")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Which database stands behind the pages makes no difference here; `test_performance` asks both."""
    return sqlite_url


@pytest.fixture(scope="module")
def played(
    sqlite_template: SqliteTemplate, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FlaskClient, dict[str, Any]]:
    """An app with a little of everything in its memory, and the ids of what has a page of its own."""
    from jinja2 import StrictUndefined

    from stateful_engine import StatefulEngine

    folder = tmp_path_factory.mktemp("played")
    app = Flask("tests.host", instance_path=str(folder))
    url = sqlite_template.copy_to(folder / "stateful_engine.sqlite")
    app.config.update(TESTING=True, STATEFUL_DASHBOARD=True, STATEFUL_DATABASE_URL=url)
    StatefulEngine(app)
    app.jinja_env.undefined = StrictUndefined
    ids = stage.fill(app)
    yield app.test_client(), ids
    app.extensions["stateful_engine"].close(timeout=2.0)


def path_of(page: Page, ids: dict[str, Any]) -> str:
    """The address of a page, of things that exist."""
    if page.endpoint == "download":
        return "/state/downloads/signals.csv"
    return "/state" + re.sub(r"<(\w+)>", lambda found: str(ids[found[1]]), page.path)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def words(answer: Any) -> str:
    """What a page says, without its marks."""
    return html.unescape(re.sub(r"<[^>]+>", " ", answer.text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.endpoint)
def test_every_page_stands_a_full_memory_and_shows_hostile_text_as_text(played, page):
    client, ids = played
    answer = client.get(path_of(page, ids))
    assert answer.status_code == 200
    if page.endpoint != "download":
        assert "<script>alert" not in answer.text and "<img src=x" not in answer.text
        assert "–" not in answer.headers["Content-Type"]


@pytest.mark.parametrize(
    "endpoint",
    [
        "signal",
        "queries",
        "conversations",
        "conversation",
        "recommendations",
        "scanner",
        "engagement",
        "experiments",
        "experiment",
    ],
)
def test_hostile_text_is_there_word_for_word(played, endpoint):
    client, ids = played
    page = next(page for page in PAGES if page.endpoint == endpoint)
    assert stage.HOSTILE[:25] in html.unescape(client.get(path_of(page, ids)).text)


@pytest.mark.parametrize("page", [page for page in PAGES if page.nav], ids=lambda page: page.endpoint)
def test_every_page_stands_an_empty_memory(reader, page):
    assert reader.get("/state" + page.path).status_code == 200


@pytest.mark.parametrize(
    ("page", "call"),
    [
        ("signals", "@track_signal_generation"),
        ("queries", "POST /log-query"),
        ("conversations", "start_conversation"),
        ("recommendations", "log_recommendation"),
        ("scanner", "ScannerLogger().scan"),
        ("engagement", "log_action"),
        ("experiments", "Experiments().create"),
    ],
)
def test_an_empty_page_names_the_call_that_fills_it(reader, page, call):
    assert call in words(reader.get(f"/state/{page}"))


def test_filters_stand_in_the_url_and_in_the_form(played):
    client, _ = played
    answer = client.get("/state/signals?symbol=ETH/USDT&days=7&outcome=PENDING")
    rows = rows_of(client.get("/state/downloads/signals.csv?symbol=ETH/USDT&days=7&outcome=PENDING").text)
    assert rows and {(row["symbol"], row["outcome"]) for row in rows} == {("ETHUSDT", "PENDING")}
    assert 'value="ETH/USDT"' in answer.text
    assert re.search(r'<option value="7" selected>', answer.text)
    assert re.search(r'<option value="PENDING" selected>', answer.text)


def test_a_filter_that_cannot_be_meant_is_a_page_that_says_so(reader):
    answer = reader.get("/state/signals?days=soon")
    assert answer.status_code == 422
    assert "days must be" in answer.text
    assert reader.get("/state/signals?cursor=nonsense").status_code == 422


def test_pages_lead_to_older_ones_until_all_was_seen(played):
    client, _ = played
    url, seen = "/state/signals?symbol=BTCUSDT", []
    while url:
        answer = client.get(url)
        seen += re.findall(r'href="/state/signals/(sig_\w+)"', answer.text)
        older = re.search(r'<a href="([^"]+)" rel="next">', answer.text)
        url = html.unescape(older[1]) if older else ""
    whole = [row["signal_id"] for row in rows_of(client.get("/state/downloads/signals.csv?symbol=BTCUSDT").text)]
    assert seen == whole and len(set(seen)) == len(seen) == 41
    assert "Newest" in answer.text


def test_the_file_holds_what_the_page_shows_beyond_its_first_page(played):
    client, _ = played
    answer = client.get("/state/downloads/signals.csv")
    assert answer.mimetype == "text/csv"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="signals.csv"'
    assert len(rows_of(answer.text)) == 61


@pytest.mark.parametrize("name", LISTS)
def test_every_list_can_be_downloaded(played, name):
    client, _ = played
    assert len(rows_of(client.get(f"/state/downloads/{name}.csv").text)) >= 1


def test_the_table_of_the_overview_is_a_file_with_its_filters(played):
    client, _ = played
    page = client.get("/state/?days=7&symbol=BTCUSDT&by=engine&sort=n").text
    link = html.unescape(re.search(r'<a href="([^"]+breakdown\.csv[^"]*)" download>', page)[1])  # type: ignore[index]
    rows = rows_of(client.get(link).text)
    report = client.get("/api/gpts/state/analytics/signals?days=7&symbol=BTCUSDT&by=engine").get_json()["analytics"]
    assert len(rows) > 1
    for row, cell in zip(rows, report["breakdown"], strict=True):
        assert row["engine"].lstrip("'") == cell["value"]
        assert (int(row["n"]), float(row["win_rate"] or -1)) == (
            cell["n"],
            -1 if cell["win_rate"] is None else cell["win_rate"],
        )
    assert client.get("/state/downloads/breakdown.csv?by=nonsense").status_code == 422


@pytest.mark.parametrize(
    ("page", "report", "named"),
    [
        (
            "recommendations?days=30",
            "recommendations?days=30",
            {"Given": "total_recommendations", "Followed": "executed_count"},
        ),
        ("engagement?days=30", "engagement?days=30", {"Active people": "unique_users", "Actions": "total_actions"}),
        ("queries?days=7", "queries?days=7", {"Queries": "total_queries", "Success rate": "success_rate"}),
    ],
)
def test_cards_say_what_the_api_says(played, page, report, named):
    client, _ = played
    said = client.get(f"/api/gpts/state/analytics/{report}").get_json()["analytics"]
    text = re.sub(r"\s+", " ", words(client.get(f"/state/{page}")))
    for card, field in named.items():
        assert f" {card} {said[field]:g} " in text


def test_an_unknown_file_is_not_found(reader):
    assert reader.get("/state/downloads/passwords.csv").status_code == 404


def test_no_cell_is_a_formula_and_numbers_stay_numbers(board, reader):
    with board.app_context():
        RecommendationLogger().log_recommendation("=1+1", "XAUUSD", "SELL", reasoning="@SUM(A1)", market_regime="\tcmd")
        RecommendationLogger().update_result(1, -20.5, -1.0)
    row = rows_of(reader.get("/state/downloads/recommendations.csv").text)[0]
    assert (row["user_id"], row["reasoning"]) == ("'=1+1", "'@SUM(A1)")
    assert (row["result_pnl"], row["executed"]) == ("-20.5", "0")


def test_a_download_ends_at_its_limit(board, reader, monkeypatch):
    monkeypatch.setattr(listings, "MOST_DOWNLOAD_ROWS", 3)
    stage.fill(board, signals=6)
    assert len(rows_of(reader.get("/state/downloads/signals.csv").text)) == 3


def test_order_events_are_told_without_the_noise_of_binary_fractions(board, reader):
    with board.app_context():
        signal_id = get_state_manager().save_signal_history(signal_data(), durable=True)
        JournalRepo().log_event(
            "trade_closed", signal_id=signal_id, ticket=2077969, pnl=-0.1 - 0.2, r_multiple=1.5 + 3e-14
        )
    assert "trade_closed: ticket 2077969, pnl −0.3, r_multiple 1.5" in words(reader.get(f"/state/signals/{signal_id}"))


def test_a_signal_tells_its_story_in_the_order_of_time(played):
    client, ids = played
    text = words(client.get(f"/state/signals/{ids['signal_id']}"))
    kinds = re.findall(r"\d\d:\d\d\s+(query|signal|interaction|journal|outcome)\s", text)
    assert {"query", "signal", "interaction", "journal", "outcome"} == set(kinds)
    assert kinds[-1] == "outcome"
    assert re.search(r"WIN( \(\w+\))? at 46,500, \+1\.8\d R", text)
    assert "Set STATEFUL_CANDLES" in text


@pytest.mark.parametrize("signal_id", ["sig_000000000000_1600000000", "x" * 300])
def test_an_unknown_signal_is_not_found(make_board, signal_id):
    client = make_board(STATEFUL_EFFECT_WAIT=0).test_client()
    assert client.get(f"/state/signals/{signal_id}").status_code == 404


def test_a_signal_is_drawn_on_its_candles(make_board, clock, tmp_path):
    """Entry, target, stop and exit stand across the candles around the trade, and no others are drawn."""
    start = house_clock.to_epoch_us(clock.now()) // 1000 - 100 * 3_600_000
    lines = [
        f"{start + hour * 3_600_000},{45000 + hour},{45100 + hour},{44900 + hour},{45020 + hour}" for hour in range(400)
    ]
    (tmp_path / "candles").mkdir()
    (tmp_path / "candles" / "BTCUSDT-1H.csv").write_text("ts,open,high,low,close\n" + "\n".join(lines))
    board = make_board(STATEFUL_CANDLES=str(tmp_path / "candles"))
    with board.app_context():
        manager = get_state_manager()
        closed = manager.save_signal_history(signal_data(), durable=True)
        manager.record_outcome(closed, None, exit_price=46500.0, closed_at=clock.now() + timedelta(hours=20))
        still_open = manager.save_signal_history(signal_data(), durable=True)
        long = manager.save_signal_history(signal_data(), durable=True)
        manager.record_outcome(long, None, exit_price=46500.0, closed_at=clock.now() + timedelta(hours=250))
        elsewhere = manager.save_signal_history(signal_data(symbol="XAUUSD"), durable=True)
    client = board.test_client()
    picture = client.get(f"/state/signals/{closed}").text
    assert picture.count('class="rise"') == 2 * (30 + 20 + 15 + 1)
    for level in ("entry 45,000", "TP 46,500", "SL 44,200", "exit 46,500"):
        assert level in picture
    assert "exit 46,500" not in client.get(f"/state/signals/{still_open}").text
    assert "2 candles of 1H in one" in client.get(f"/state/signals/{long}").text
    assert "No candles of this market" in client.get(f"/state/signals/{elsewhere}").text
    (tmp_path / "candles" / "BTCUSDT-1H.csv").write_text("ts,open,high,low,close\n" + "\n".join(lines[:50]))
    assert "No candles of this market" in client.get(f"/state/signals/{closed}").text


def test_candles_come_from_a_function_of_the_host_too_and_its_failures_stay_ours(make_board, clock):
    asked = []

    def fetch(symbol, timeframe, start, end):
        asked.append((symbol, timeframe, end - start))
        if len(asked) > 1:
            raise RuntimeError("the exchange is away")
        first = int(start.timestamp() * 1000) // 3_600_000 * 3_600_000
        return [(first + hour * 3_600_000, 45000, 45100, 44900, 45050) for hour in range(100)]

    board = make_board(STATEFUL_CANDLES=fetch)
    with board.app_context():
        signal_id = get_state_manager().save_signal_history(signal_data(), durable=True)
    client = board.test_client()
    assert 'class="rise"' in client.get(f"/state/signals/{signal_id}").text
    assert asked == [("BTCUSDT", "1H", timedelta(hours=30 + 60 + 1))]
    assert "could not be fetched" in client.get(f"/state/signals/{signal_id}").text


def test_a_folder_without_candles_is_a_sentence_and_not_a_failure(make_board, tmp_path):
    board = make_board(STATEFUL_CANDLES=str(tmp_path / "nowhere"))
    with board.app_context():
        signal_id = get_state_manager().save_signal_history(signal_data(), durable=True)
    answer = board.test_client().get(f"/state/signals/{signal_id}")
    assert answer.status_code == 200 and "is no folder" in answer.text


def test_a_long_conversation_is_read_page_by_page(board, reader):
    with board.app_context():
        logger = ChatGPTLogger()
        number = logger.start_conversation("u1")
        for count in range(130):
            logger.log_message(number, "user", f"message {count}.")
    first = reader.get(f"/state/conversations/{number}")
    later = re.search(r'<a href="([^"]+)" rel="next">', first.text)
    assert later and first.text.count('class="panel said-by-user"') == 100
    second = reader.get(html.unescape(later[1]))
    assert "message 129." in second.text and "message 99." not in second.text
    assert reader.get("/state/conversations/4711").status_code == 404


def test_very_long_texts_are_cut_on_the_page_and_whole_in_the_file(board, reader):
    with board.app_context():
        logger = ChatGPTLogger()
        logger.log_message(logger.start_conversation("u1"), "user", "x" * 500_000)
        RecommendationLogger().log_recommendation("u1", "XAUUSD", "BUY", reasoning="y" * 60_000)
    assert len(reader.get("/state/conversations/1").data) < 30_000
    assert len(reader.get("/state/recommendations").data) < 10_000
    assert len(rows_of(reader.get("/state/downloads/recommendations.csv").text)[0]["reasoning"]) == 60_000


def test_figures_of_the_pages_are_those_of_the_api(played):
    client, _ = played
    queries = client.get("/api/gpts/state/analytics/queries?days=7").get_json()["analytics"]
    page = words(client.get("/state/queries"))
    assert f"Queries {queries['total_queries']}" in re.sub(r"\s+", " ", page)
    assert f"{queries['success_rate']:g} %" in page


def test_who_may_read_the_figures_only_does_not_read_what_people_wrote(make_board):
    closed = make_board(TESTING=False)
    keys = ApiKeys(closed.extensions["stateful_engine"].database)
    figures = keys.create("figures", [Scope.ANALYTICS_READ])
    talks = keys.create("talks", [Scope.ANALYTICS_READ, Scope.CONVERSATIONS_READ])
    client = closed.test_client()
    closed_pages = (
        "/state/conversations",
        "/state/recommendations",
        "/state/queries",
        "/state/engagement",
        "/state/downloads/conversations.csv",
    )
    for path in closed_pages:
        answer = client.get(path, headers={"X-API-Key": figures.text})
        assert answer.status_code == 403, path
        assert "use a key that has the scope" in words(answer)
    assert client.get("/state/conversations", headers={"X-API-Key": talks.text}).status_code == 200
    assert "Conversations" not in words(client.get("/state/signals", headers={"X-API-Key": figures.text}))


def test_the_system_page_says_what_waits_and_what_was_refused(board, reader):
    board.extensions["stateful_engine"].guard.count("unknown_shape")
    page = words(reader.get("/state/system"))
    assert "signal_history" in page and "every record that was made was stored" in page
    assert "unknown_shape" in page


def test_the_system_page_stands_when_the_database_does_not(make_board, tmp_path):
    board = make_board(STATEFUL_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing", STATEFUL_AUTO_MIGRATE=False)
    with board.app_context():
        get_state_manager().save_signal_history(signal_data())
    answer = board.test_client().get("/state/system")
    page = re.sub(r"\s+", " ", words(answer))
    assert answer.status_code == 200
    assert "Waiting 2 " in page or "Waiting 1 " in page
    assert "database" in page and 'class="problem"' in answer.text
    assert board.test_client().get("/state/signals").status_code == 503


def test_refused_records_are_shown_with_their_reason_and_the_remedy(board, reader, monkeypatch):
    from stateful_engine.recording.rejects import Reject, Rejects

    monkeypatch.setattr(system, "MOST_REJECTS", 2)
    Rejects(board.extensions["stateful_engine"].settings.spool_dir).add([Reject(b"x", "a <b>reason</b>")] * 3)
    page = reader.get("/state/system").text
    assert ", of the first 2" in page and '<td class="number">2</td>' in page
    assert "a &lt;b&gt;reason&lt;/b&gt;" in page and "spool retry-rejected" in page


def test_people_who_came_back_are_counted_by_their_first_week(board, reader, clock):
    with board.app_context():
        for person in ("a", "b"):
            AnalyticsLogger().log_action(person, None, "start")
        clock.advance(days=7)
        AnalyticsLogger().log_action("a", None, "start")
    page = re.sub(r"\s+", " ", words(reader.get("/state/engagement")))
    assert "2026-03-09 2 1 (50 %)" in page


def test_every_file_that_is_offered_exists(reader):
    page = reader.get("/state/downloads").text
    names = set(re.findall(r'href="/state/downloads/(\w+)\.csv', page))
    assert names == set(downloads.LISTINGS) == set(LISTS)
