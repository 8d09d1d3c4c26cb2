"""Downloads: every list of the pages as a CSV file, with the filters that it is shown with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flask import Response
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from stateful_engine.dashboard import conversations, engagement, entrance, queries, recommendations, scanner, signals
from stateful_engine.dashboard.listings import MOST_DOWNLOAD_ROWS, PERIODS, Listing, asked, csv_lines
from stateful_engine.dashboard.rendering import render

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

LISTINGS: dict[str, Listing] = {
    module.LISTING.name: module.LISTING
    for module in (signals, queries, conversations, recommendations, scanner, engagement)
}


def view(runtime: Runtime) -> ResponseReturnValue:
    """What there is to download."""
    del runtime
    return render("downloads.html", listings=LISTINGS.values(), periods=PERIODS, most=MOST_DOWNLOAD_ROWS)


def file(runtime: Runtime, name: str) -> ResponseReturnValue:
    """One list as CSV, sent while it is read."""
    listing = _known(name)
    entrance.require(listing.scope)
    lines = csv_lines(runtime, listing, asked(listing))
    # The first lines are made here, so that what cannot be read is a page that says so and not half a file.
    first = next(lines)
    answer = Response(_joined(first, lines), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="{listing.name}.csv"'
    return answer


def _known(name: str) -> Listing:
    if name not in LISTINGS:
        raise NotFound
    return LISTINGS[name]


def _joined(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest
