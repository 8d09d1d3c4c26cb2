"""Downloads: every list of the pages as a CSV file, with the filters that it is shown with."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from flask import Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from stateful_engine.dashboard import conversations, engagement, entrance, queries, recommendations, scanner, signals
from stateful_engine.dashboard.listings import MOST_DOWNLOAD_ROWS, PERIODS, Listing, asked, csv_lines, csv_text
from stateful_engine.dashboard.rendering import render
from stateful_engine.services.overview import BREAKDOWNS, Question

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

BREAKDOWN = "breakdown"
BREAKDOWN_FIELDS = ("value", "count", "executed", "n", "thin", "win_rate", "avg_confidence", "avg_pnl", "avg_r")

LISTINGS: dict[str, Listing] = {
    module.LISTING.name: module.LISTING
    for module in (signals, queries, conversations, recommendations, scanner, engagement)
}


def view(runtime: Runtime) -> ResponseReturnValue:
    """What there is to download."""
    del runtime
    return render("downloads.html", listings=LISTINGS.values(), periods=PERIODS, most=MOST_DOWNLOAD_ROWS)


def file(runtime: Runtime, name: str) -> ResponseReturnValue:
    """One list as CSV, sent while it is read; or the table of the overview, as it is asked for there."""
    if name == BREAKDOWN:
        return _sent(name, iter([_breakdown(runtime)]))
    listing = _known(name)
    entrance.require(listing.scope)
    lines = csv_lines(runtime, listing, asked(listing))
    # The header and the first records are made here, so that what cannot be read is a page that says so.
    begin = next(lines) + next(lines, "")
    return _sent(name, chain([begin], lines))


def _sent(name: str, lines: Iterator[str]) -> Response:
    answer = Response(lines, mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _breakdown(runtime: Runtime) -> str:
    """What tells signals apart on the overview, best first; both ends of the interval have a column."""
    wanted = Question.of(request.args)
    by = BREAKDOWNS[wanted.by]
    cells = runtime.analytics.signals(wanted.days, by=by, **wanted.filters)["breakdown"]
    bounds = [cell["win_rate_ci"] or (None, None) for cell in cells]
    rows = [
        (*(cell[name] for name in BREAKDOWN_FIELDS), low, high) for cell, (low, high) in zip(cells, bounds, strict=True)
    ]
    return csv_text([(by, *BREAKDOWN_FIELDS[1:], "win_rate_low", "win_rate_high"), *rows])


def _known(name: str) -> Listing:
    if name not in LISTINGS:
        raise NotFound
    return LISTINGS[name]
