"""The pages in a real browser: nothing breaks, nothing runs, nothing is loaded from elsewhere, and people can use them.

Driven with the Chromium of the system; without one this file is left out, and the summary of the run says so.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from werkzeug.serving import make_server

from stateful_engine import StatefulEngine
from stateful_engine.dashboard.pages import PAGES
from tests.dashboard import stage
from tests.dashboard.browsers import MISSING, chromium

if TYPE_CHECKING:
    from tests.databases import SqliteTemplate

PHONE, DESKTOP = {"width": 375, "height": 740}, {"width": 1280, "height": 900}
LOOKS = [(size, scheme) for size in (DESKTOP, PHONE) for scheme in ("light", "dark")]
JUDGED = (LOOKS[0], LOOKS[3])
"""Where axe-core looks: by day on a desk and by night on a phone; structure and colours do not mix in between."""
SEEN = [page for page in PAGES if page.endpoint != "download"]
SERIOUS = {"serious", "critical"}

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


@dataclass(frozen=True)
class Site:
    """A host with a full memory: where it is, and the ids of what has a page of its own."""

    app: Flask
    base: str
    ids: dict[str, Any]


@dataclass
class Watched:
    """A tab whose every complaint is written down."""

    tab: Page
    base: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tab.on("console", lambda said: said.type in {"error", "warning"} and self.complaints.append(said.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.complaints.append("a dialog opened"), dialog.dismiss()))
        self.tab.on("request", self._note)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:")):
            self.complaints.append(f"asked {request.url}")

    def open(self, path: str) -> Page:
        """Go to a page of ours; every answer is looked at."""
        answer = self.tab.goto(self.base + path, wait_until="load")
        assert answer is not None and answer.status == 200, path
        return self.tab


@pytest.fixture(scope="module")
def site(sqlite_template: SqliteTemplate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    app = Flask("tests.host", instance_path=str(folder))
    url = sqlite_template.copy_to(folder / "stateful_engine.sqlite")
    app.config.update(TESTING=True, STATEFUL_DASHBOARD=True, STATEFUL_DATABASE_URL=url)
    StatefulEngine(app)
    ids = stage.fill(app)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Site(app, f"http://127.0.0.1:{server.server_port}", ids)
    server.shutdown()
    thread.join()
    server.server_close()
    app.extensions["stateful_engine"].close(timeout=2.0)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    assert path is not None, MISSING
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport=DESKTOP)
    made.add_init_script(WATCH)
    yield made
    made.close()


@pytest.fixture
def watched(context: BrowserContext, site: Site) -> Watched:
    return Watched(context.new_page(), site.base)


def path_of(page: Any, ids: dict[str, Any]) -> str:
    return "/state" + re.sub(r"<(\w+)>", lambda found: str(ids[found[1]]), page.path)


def faults(tab: Page) -> list[str]:
    """What axe-core finds that keeps people from using a page."""
    found = Axe().run(tab).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:160]} {one['nodes'][0].get('failureSummary', '')[:200]}"
        for one in found
        if one["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("page", SEEN, ids=lambda page: page.endpoint)
def test_every_page_is_sound_on_phone_and_desk_by_day_and_by_night(watched, site, page):
    tab = watched.open(path_of(page, site.ids))
    tab.wait_for_function("document.querySelectorAll('.chart[data-series] svg').length === 0")
    for size, scheme in LOOKS:
        tab.set_viewport_size(size)
        tab.emulate_media(color_scheme=scheme)
        look = f"{page.endpoint} at {size['width']} px, {scheme}"
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{look} scrolls sideways"
        assert (size, scheme) not in JUDGED or faults(tab) == [], look
    assert tab.evaluate("window.violations") == []
    assert watched.complaints == []


@pytest.mark.parametrize("page", SEEN, ids=lambda page: page.endpoint)
def test_hostile_text_is_shown_and_makes_no_element(watched, site, page):
    tab = watched.open(path_of(page, site.ids))
    assert tab.locator("img[src='x'], main script").count() == 0
    assert watched.complaints == []


def test_hostile_text_is_read_as_it_was_written(watched, site):
    tab = watched.open(f"/state/conversations/{site.ids['conversation_id']}")
    assert tab.locator(".prose").first.inner_text() == stage.HOSTILE


def test_charts_are_read_off_with_the_pointer_and_with_the_keyboard(watched):
    tab = watched.open("/state/")
    live = tab.locator(".chart-lines .chart-live")
    live.wait_for()
    values = live.locator(".u-legend .u-value")
    live.locator(".u-over").hover()
    assert " R" in values.nth(1).inner_text()
    tab.mouse.move(0, 0)
    live.focus()
    tab.keyboard.press("ArrowRight")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", values.first.inner_text())


def test_charts_follow_the_room_and_the_light(watched):
    tab = watched.open("/state/")
    tab.locator(".chart-lines canvas").wait_for()
    tab.set_viewport_size(PHONE)
    tab.wait_for_function("document.querySelector('.chart-lines canvas').getBoundingClientRect().width < 375")
    tab.emulate_media(color_scheme="dark")
    tab.locator(".chart-lines canvas").wait_for()
    assert watched.complaints == []


def test_pages_work_without_scripts(browser, site):
    context = browser.new_context(java_script_enabled=False, viewport=DESKTOP)
    tab = context.new_page()
    tab.goto(f"{site.base}/state/")
    assert tab.locator(".chart-lines svg.wide").is_visible()
    assert tab.locator("[data-refresh] *").count() == 0
    tab.goto(f"{site.base}/state/signals")
    tab.fill("input[name=symbol]", "ETHUSDT")
    tab.select_option("select[name=outcome]", "LOSS")
    tab.click("form.filters button")
    rows = tab.locator("tbody tr")
    assert rows.count() > 0
    assert all("ETHUSDT" in text and "LOSS" in text for text in rows.all_inner_texts())
    tab.goto(f"{site.base}/state/signals")
    tab.click("a[rel=next]")
    assert "cursor=" in tab.url and tab.locator("tbody tr").count() > 0
    context.close()


def test_the_keyboard_reaches_the_content_the_pages_and_the_filters_in_this_order(watched):
    tab = watched.open("/state/signals")
    reached = []
    for _ in range(30):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))
    assert reached[0] == "Skip to the content"
    wanted = ["Skip to the content", "Overview", "Downloads", "symbol", "Show", "Older"]
    places = [reached.index(name) for name in wanted if name in reached]
    assert len(places) >= 5 and places == sorted(places)


def test_the_skip_link_leads_past_the_navigation(watched):
    tab = watched.open("/state/signals")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "content"


def test_a_page_renews_itself_until_it_is_told_not_to(context, site):
    watched = Watched(context.new_page(), site.base)
    watched.tab.clock.install()
    tab = watched.open("/state/system")
    tab.evaluate("document.querySelector('main h1').textContent = 'stale'")
    with tab.expect_response(lambda answer: answer.url.endswith("/state/system")):
        tab.clock.fast_forward(61_000)
    tab.wait_for_function("document.querySelector('main h1').textContent === 'System'")
    tab.uncheck("[data-refresh] input")
    tab.reload()
    assert not tab.is_checked("[data-refresh] input")
    assert watched.complaints == []


def test_who_wants_calm_gets_no_renewal_unasked(browser, site):
    context = browser.new_context(reduced_motion="reduce")
    tab = context.new_page()
    tab.goto(f"{site.base}/state/system")
    assert not tab.is_checked("[data-refresh] input")
    context.close()


def test_the_report_is_read_from_a_file_without_a_server(context, site, tmp_path):
    told = site.app.test_cli_runner().invoke(args=["stateful", "report", "--out", str(tmp_path / "report.html")])
    assert told.exit_code == 0
    watched = Watched(context.new_page(), f"file://{tmp_path}")
    watched.tab.goto(f"file://{tmp_path}/report.html")
    for size, scheme in LOOKS:
        watched.tab.set_viewport_size(size)
        watched.tab.emulate_media(color_scheme=scheme)
        assert watched.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert faults(watched.tab) == []
    assert watched.tab.locator(".chart-lines svg.narrow").is_visible()
    assert watched.complaints == []


def test_a_list_is_saved_as_a_file(watched):
    tab = watched.open("/state/signals?symbol=ETHUSDT")
    with tab.expect_download() as download:
        tab.click("text=Download as CSV")
    assert download.value.suggested_filename == "signals.csv"
    lines = download.value.path().read_text("utf-8").splitlines()
    assert lines[0].startswith("created_at,symbol") and all("ETHUSDT" in line for line in lines[1:])
