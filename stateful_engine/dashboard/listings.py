"""Lists of records: one description from which the page, its filters and its CSV file are made.

What a list asks of the URL is `days`, its filters and a `cursor`; pages are bounded, and cost the same at any depth.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import request, url_for

from stateful_engine.dashboard import formats
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services import inputs
from stateful_engine.services.export_files import neutral

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime
    from stateful_engine.storage.pages import Page

PAGE_ROWS = 50
DOWNLOAD_PAGE_ROWS = 100
MOST_DOWNLOAD_ROWS = 100_000
"""A download ends here; `flask stateful export` has no such end."""

LONGEST_FILTER = 255
PERIODS = (1, 7, 30, 90, 365, 0)

Show = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its title, the field it shows, and how.

    With `page` its cells lead to that page, whose `page_argument` is the record's `page_field`.
    """

    title: str
    field: str
    show: Show = formats.text
    is_number: bool = False
    is_long: bool = False
    page: str | None = None
    page_argument: str = ""
    page_field: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a list: a text, or one of `options`, which are pairs of a value and its name."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a URL asks of a list; filters that are empty are left out."""

    days: int
    filters: Mapping[str, str]
    cursor: str | None

    def get(self, name: str) -> str | None:
        """The value of a filter, None without one."""
        return self.filters.get(name)

    @property
    def query(self) -> dict[str, str]:
        """The same list as arguments of a URL, without a place in it."""
        return {"days": str(self.days), **self.filters}


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of records that a page shows and a file holds; `empty` and `command` say how it is filled."""

    name: str
    title: str
    columns: tuple[Column, ...]
    filters: tuple[Filter, ...]
    fetch: Callable[[Runtime, Asked, int], Page]
    empty: str
    command: str
    days: int = 30
    scope: Scope = Scope.ANALYTICS_READ


def asked(listing: Listing) -> Asked:
    """What the URL of this request asks of a list; raises `InvalidInputError` for what cannot be meant."""
    given = {one.name: request.args.get(one.name, "").strip()[:LONGEST_FILTER] for one in listing.filters}
    return Asked(
        days=inputs.days(request.args.get("days") or listing.days),
        filters={name: value for name, value in given.items() if value},
        cursor=request.args.get("cursor") or None,
    )


def context(runtime: Runtime, listing: Listing, wanted: Asked) -> dict[str, Any]:
    """What `list.html` needs: one page of records, its filters, and the ways to the next page and to the file."""
    page = listing.fetch(runtime, wanted, PAGE_ROWS)
    return {
        "listing": listing,
        "asked": wanted,
        "periods": PERIODS,
        "rows": page.items,
        "next_url": _link(listing.name, {**wanted.query, "cursor": page.next_cursor}) if page.next_cursor else None,
        "first_url": _link(listing.name, wanted.query),
        "download_url": _link("download", {"name": listing.name, **wanted.query}),
    }


def _link(endpoint: str, values: Mapping[str, Any]) -> str:
    return url_for(f".{endpoint}", **values)


def csv_lines(runtime: Runtime, listing: Listing, wanted: Asked) -> Iterator[str]:
    """The whole list as CSV, page by page, so that memory stays constant: a header, then a line per record."""
    fields = [column.field for column in listing.columns]
    yield csv_text([fields])
    left, cursor = MOST_DOWNLOAD_ROWS, wanted.cursor
    while left > 0:
        page = listing.fetch(runtime, Asked(wanted.days, wanted.filters, cursor), min(DOWNLOAD_PAGE_ROWS, left))
        yield csv_text([row.get(field) for field in fields] for row in page.items)
        left, cursor = left - len(page.items), page.next_cursor
        if cursor is None:
            return


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as lines of CSV."""
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\r\n").writerows([cell(value) for value in row] for row in rows)
    return lines.getvalue()


def cell(value: Any) -> Any:
    """A value as a cell of CSV: nothing for null, flags as 1 and 0, and no text that a spreadsheet would run."""
    if value is None or isinstance(value, (int, float)):
        return int(value) if isinstance(value, bool) else value
    return neutral(str(value))
