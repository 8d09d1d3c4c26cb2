"""`flask stateful report`: one file that holds everything it shows, with the numbers of the API."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest

from tests.dashboard import stage

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Which database stands behind the report makes no difference here."""
    return sqlite_url


def run(app: Flask, *arguments: str):
    return app.test_cli_runner().invoke(args=["stateful", "report", *arguments])


def test_the_report_is_one_file_that_loads_nothing_and_runs_nothing(app: Flask, tmp_path: Path):
    stage.fill(app, signals=12)
    told = run(app, "--out", str(tmp_path / "report.html"))
    assert told.exit_code == 0 and "report.html: " in told.output
    text = (tmp_path / "report.html").read_text("utf-8")
    assert not re.search(r"<script|<[^>]*\ssrc=|https?://|url\(|@import|<link (?!rel=\"icon\" href=\"data:,\")", text)
    assert text.count("<svg") >= 8 and "--c-gain" in text
    assert "<script>alert" not in text and html.escape(stage.HOSTILE, quote=False)[:30] in text
    assert list(tmp_path.glob(".*")) == []


def test_its_numbers_are_those_of_the_api(app: Flask, client, tmp_path: Path):
    stage.fill(app, signals=30)
    run(app, "--out", str(tmp_path / "r.html"), "--days", "7", "--symbol", "BTC/USDT")
    report = client.get("/api/gpts/state/analytics/signals?days=7&symbol=BTCUSDT").get_json()["analytics"]
    text = (tmp_path / "r.html").read_text("utf-8")
    words = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))
    assert "Signals of the last 7 days symbol: BTC/USDT" in words
    assert f"Win rate {report['win_rate']:g} %" in words
    assert f"n = {report['total_signals']} signals, {report['closed_signals']} closed" in words


def test_an_empty_memory_gives_a_report_that_says_so(app: Flask, tmp_path: Path):
    assert run(app, "--out", str(tmp_path / "r.html"), "--days", "0").exit_code == 0
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "All signals" in text and "No signal was recorded in this period" in text


def test_a_place_that_cannot_be_written_is_told_with_the_remedy(app: Flask, tmp_path: Path):
    told = run(app, "--out", str(tmp_path / "missing" / "r.html"))
    assert told.exit_code == 1 and "name another file" in told.output
