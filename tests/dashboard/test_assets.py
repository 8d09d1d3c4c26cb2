"""The files that pages are made of: vendored code is what it says it is, and everything is in the wheel."""

from __future__ import annotations

import hashlib
import re
from configparser import ConfigParser
from pathlib import Path

import stateful_engine.dashboard

DASHBOARD = Path(stateful_engine.dashboard.__file__).parent
VENDOR = DASHBOARD / "static" / "vendor"


def test_vendored_files_are_those_that_their_table_names():
    table = (VENDOR / "VENDOR.md").read_text()
    listed = dict(re.findall(r"^\| `([^`]+)` \|.*`([0-9a-f]{64})` \|$", table, re.MULTILINE))
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.min.*")}
    assert listed == found
    assert "MIT" in (VENDOR / "uPlot.LICENSE").read_text()


def test_every_asset_and_template_is_in_the_wheel():
    setup = ConfigParser()
    setup.read(DASHBOARD.parents[1] / "setup.cfg")
    patterns = setup["options.package_data"]["stateful_engine.dashboard"].replace(",", " ").split()
    packed = {path for pattern in patterns for path in DASHBOARD.glob(pattern) if path.is_file()}
    own = {path for folder in ("static", "templates") for path in (DASHBOARD / folder).rglob("*") if path.is_file()}
    assert packed == own


def test_nothing_of_ours_is_loaded_from_elsewhere_and_no_style_or_script_is_inline():
    texts = [path for path in DASHBOARD.rglob("*") if path.suffix in {".css", ".js", ".html"} and path.parent != VENDOR]
    for path in texts:
        text = path.read_text()
        assert not re.search(r"https?://|url\(|@import", text), path
        if path.suffix == ".html" and path.name != "report.html":
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=| type=\"application/json\")", text), path
