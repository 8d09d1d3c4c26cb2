"""Recorded data as files to learn from: `flask stateful export`.

Rows come in the order of time and in constant memory. What was known when a record was made stands apart from what came
later (see `export_tables`). A split cuts the rows by time: whoever learns from one part never sees what was known only
when the next had begun. Two things keep it so, after Lopez de Prado, "Advances in Financial Machine Learning" (2018),
chapter 7: rows whose label became known after the next part began are purged, and an embargo leaves out the first rows
of each later part. A manifest names every file with its SHA-256, the columns with their roles, and what was left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from stateful_engine.domain import clock
from stateful_engine.domain.vocabulary import Word
from stateful_engine.errors import InvalidInputError
from stateful_engine.globals import current_runtime
from stateful_engine.services.export_files import ExportFile, ExportFormat, export_file, sha256_of
from stateful_engine.services.export_tables import (
    LABEL_TS,
    SCHEMA_VERSION,
    TICKET_CLOSED_AT,
    ExportKind,
    ExportTable,
    table_of,
)
from stateful_engine.storage import exports

if TYPE_CHECKING:
    from stateful_engine.recording.recorder import Recorder
    from stateful_engine.storage.database import Database

PART_NAMES = {2: ("train", "test"), 3: ("train", "validation", "test")}
PURGED = "purged"
EMBARGOED = "embargoed"
UNLABELLED = "unlabelled"

Words = TypeVar("Words", bound=Word)
Progress = Callable[[int, int], None]
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What to export: a window of `created_at` (its end exclusive), and how to cut it.

    `split` are the shares of the parts in the order of time, two (train, test) or three (train, validation, test).
    """

    since: datetime | None = None
    until: datetime | None = None
    split: tuple[float, ...] = ()
    purge: bool = True
    embargo: timedelta = timedelta(0)
    labelled_only: bool = False

    def __post_init__(self) -> None:
        if self.split and (len(self.split) not in PART_NAMES or not 0.999 < sum(self.split) < 1.001):
            raise InvalidInputError("split must be two or three shares that add up to 1; write 0.7,0.15,0.15")
        if any(not 0 < share < 1 for share in self.split) or self.embargo < timedelta(0):
            raise InvalidInputError("shares and the embargo must be above 0; leave them out for no split")
        if self.since and self.until and self.since >= self.until:
            raise InvalidInputError("the window ends before it begins; give a `since` that is before `until`")


@dataclass(slots=True)
class Part:
    """One file of an export: the rows from `begin` on, before `end`; whether it follows and precedes another part."""

    name: str
    begin: datetime | None
    end: datetime
    follows: bool
    precedes: bool
    file: ExportFile
    labelled: int = 0


class Export:
    """Exports from one database."""

    def __init__(self, database: Database, recorder: Recorder) -> None:
        self._database = database
        self._recorder = recorder

    def write(
        self,
        kind: ExportKind | str,
        folder: str | Path,
        *,
        file_format: ExportFormat | str = ExportFormat.CSV,
        options: ExportOptions | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Write the files and the manifest `<kind>-manifest.json` into `folder`; returns the manifest.

        Either all files are there at the end, or none of this call.
        """
        table, chosen = table_of(_word(ExportKind, kind)), options or ExportOptions()
        self._recorder.catch_up()
        job = _Job(self._database, table, chosen, clock.now(), _word(ExportFormat, file_format), Path(folder))
        parts: list[Part] = []
        try:
            job.open(parts)
            job.fill(parts, progress or _silent)
        except BaseException:
            for part in parts:
                part.file.abandon()
            raise
        for part in parts:
            part.file.close()
        return job.describe(parts)


@dataclass(slots=True)
class _Job:
    """One export on its way."""

    database: Database
    table: ExportTable
    options: ExportOptions
    now: datetime
    file_format: ExportFormat
    folder: Path
    left_out: Counter[str] = field(default_factory=Counter)
    label_time_unknown: int = 0

    @property
    def end(self) -> datetime:
        return self.options.until or self.now

    def open(self, parts: list[Part]) -> None:
        """The files to fill; with a split, one per part, cut at the time of the row that begins it."""
        names = PART_NAMES.get(len(self.options.split), ("",))
        cuts = self._cuts()
        for name, begin, end in zip(names, [self.options.since, *cuts], [*cuts, self.end], strict=True):
            file = export_file(self._path(name), self.table.columns, self.file_format)
            parts.append(Part(name, begin, end, name != names[0], name != names[-1], file))

    def fill(self, parts: Sequence[Part], progress: Progress) -> None:
        """Hand every row to the part it belongs to."""
        done, total = 0, self._count()
        progress(done, total)
        for batch in self._records():
            for part in parts:
                part.file.write([self._row(record, part) for record in batch if self._belongs(record, part)])
            done += len(batch)
            progress(done, total)

    def describe(self, parts: Sequence[Part]) -> dict[str, Any]:
        """The manifest, which is written beside the files."""
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "kind": self.table.kind.value,
            "format": self.file_format.value,
            "created_at": self.now.isoformat(),
            "window": {"since": _iso(self.options.since), "until": _iso(self.end)},
            "split": {
                "shares": list(self.options.split),
                "purge": bool(self.options.split) and self.options.purge,
                "embargo_seconds": self.options.embargo.total_seconds(),
            },
            "left_out": dict(self.left_out),
            "label_time_unknown": self.label_time_unknown,
            "columns": [
                {"name": column.name, "role": column.role.value, "type": column.kind} for column in self.table.columns
            ],
            "files": [_described(part) for part in parts],
        }
        path = self.folder / f"{self.table.kind}-manifest.json"
        path.write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        return manifest

    def _path(self, part: str) -> Path:
        stem = f"{self.table.kind}-{part}" if part else str(self.table.kind)
        return self.folder / f"{stem}.{self.file_format}"

    def _count(self) -> int:
        with self.database.reading() as session:
            return exports.count(session, self.table.model, self.options.since, self.end)

    def _cuts(self) -> list[datetime]:
        """When each part but the first begins; rows of one moment stay together."""
        total, share, cuts = self._count() if self.options.split else 0, 0.0, []
        for part in self.options.split[:-1]:
            share += part
            with self.database.reading() as session:
                moment = exports.moment_at(
                    session, self.table.model, round(total * share), since=self.options.since, end=self.end
                )
            cuts.append(moment or self.end)
        return cuts

    def _records(self) -> Iterator[list[dict[str, Any]]]:
        """Batches of rows by column name, with what other tables know about them."""
        reads = self.table.reads
        for batch in exports.rows(self.database, self.table.model, reads, since=self.options.since, end=self.end):
            records = [dict(zip(reads, row, strict=True)) for row in batch]
            if self.table.ticket is not None:
                self._add_closing_times(records, self.table.ticket)
            yield records

    def _add_closing_times(self, records: Sequence[dict[str, Any]], ticket: str) -> None:
        tickets = {record[ticket] for record in records if record[ticket] is not None}
        if not tickets:
            return
        with self.database.reading() as session:
            known = exports.closing_times(session, tickets)
        for record in records:
            record[TICKET_CLOSED_AT] = known.get(record[ticket])

    def _belongs(self, record: Record, part: Part) -> bool:
        """Whether a row goes into a part; a row of its time that does not is counted with the reason."""
        moment = record["created_at"]
        if not (part.begin or moment) <= moment < part.end:
            return False
        reason = self._reason_to_leave_out(record, part)
        if reason is not None:
            self.left_out[reason] += 1
        return reason is None

    def _reason_to_leave_out(self, record: Record, part: Part) -> str | None:
        if self.options.labelled_only and not self.table.is_labelled(record):
            return UNLABELLED
        if part.begin is not None and part.follows and record["created_at"] < part.begin + self.options.embargo:
            return EMBARGOED
        known_at = self.table.label_known_at(record) if part.precedes and self.options.purge else None
        return PURGED if known_at is not None and known_at >= part.end else None

    def _row(self, record: Record, part: Part) -> list[Any]:
        values = [column.value(record) for column in self.table.columns]
        if self.table.is_labelled(record):
            part.labelled += 1
            self.label_time_unknown += values[self.table.names.index(LABEL_TS)] is None
        return values


def export(kind: ExportKind | str, folder: str | Path, **options: Any) -> dict[str, Any]:
    """Export from the current app; arguments as in `Export.write`."""
    runtime = current_runtime()
    return Export(runtime.database, runtime.recorder).write(kind, folder, **options)


def _word(words: type[Words], given: str) -> Words:
    try:
        return words(given)
    except ValueError:
        known = ", ".join(word.value for word in words)
        raise InvalidInputError(f"{given!r} is not known to the export; use one of {known}") from None


def _described(part: Part) -> dict[str, Any]:
    path = part.file.path
    return {
        "name": path.name,
        "part": part.name or None,
        "begin": _iso(part.begin),
        "end": _iso(part.end),
        "rows": part.file.rows,
        "labelled_rows": part.labelled,
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _silent(done: int, total: int) -> None:
    """Progress that nobody watches."""
