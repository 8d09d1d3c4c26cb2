"""The files of an export: CSV, JSON lines and Parquet, written batch by batch and put in place when they are whole."""

from __future__ import annotations

import csv
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from stateful_engine.domain.vocabulary import Word
from stateful_engine.errors import ConfigurationError, MissingExtraError
from stateful_engine.services.export_tables import ExportColumn

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet may take for a formula at the start of a text; such a text gets an apostrophe before it."""


class ExportFormat(Word):
    """How records are written."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class ExportFile(ABC):
    """One file that grows by batches of rows; `close` puts it in place, `abandon` leaves nothing behind."""

    def __init__(self, path: Path, columns: Sequence[ExportColumn]) -> None:
        self.path = path
        self.columns = columns
        self.rows = 0
        self._part = path.with_name(f".{path.name}.part")
        self._open()

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Append rows, one value per column."""
        if rows:
            self._write(rows)
            self.rows += len(rows)

    def close(self) -> None:
        """Finish the file and give it its name; a file of that name is replaced."""
        self._finish()
        self._part.replace(self.path)

    def abandon(self) -> None:
        """Remove what was written."""
        self._finish()
        self._part.unlink(missing_ok=True)

    @abstractmethod
    def _open(self) -> None: ...

    @abstractmethod
    def _write(self, rows: Sequence[Sequence[Any]]) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...


class CsvFile(ExportFile):
    """Comma-separated values in UTF-8: flags are 1 and 0, times ISO 8601, JSON as text, nothing for null."""

    def _open(self) -> None:
        self._stream = self._part.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream, lineterminator="\n")
        self._writer.writerow([column.name for column in self.columns])

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        cells = [_CELLS[column.kind] for column in self.columns]
        self._writer.writerows(
            [None if value is None else cell(value) for cell, value in zip(cells, row, strict=True)] for row in rows
        )

    def _finish(self) -> None:
        self._stream.close()


class JsonLinesFile(ExportFile):
    """One JSON object per line; times are ISO 8601."""

    def _open(self) -> None:
        self._stream = self._part.open("wb")

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        names = [column.name for column in self.columns]
        option = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
        self._stream.writelines(orjson.dumps(dict(zip(names, row, strict=True)), option=option) for row in rows)

    def _finish(self) -> None:
        self._stream.close()


class ParquetFile(ExportFile):
    """Apache Parquet; times are microseconds in UTC, JSON is text. Needs the extra `parquet`."""

    def _open(self) -> None:
        try:
            self._arrow: Any = import_module("pyarrow")
            parquet: Any = import_module("pyarrow.parquet")
        except ImportError as error:
            raise MissingExtraError(
                "Parquet needs pyarrow; install the extra: pip install 'stateful_engine[parquet]'"
            ) from error
        self._schema = self._arrow.schema([(column.name, self._type(column.kind)) for column in self.columns])
        self._writer = parquet.ParquetWriter(self._part, self._schema, compression="zstd")

    def _type(self, kind: str) -> Any:
        arrow = self._arrow
        known = {"number": arrow.float64(), "whole": arrow.int64(), "flag": arrow.bool_()}
        return arrow.timestamp("us", tz="UTC") if kind == "time" else known.get(kind, arrow.string())

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        arrays = [
            self._arrow.array([_arrow_value(column.kind, row[place]) for row in rows], type=self._schema.types[place])
            for place, column in enumerate(self.columns)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))

    def _finish(self) -> None:
        self._writer.close()


def export_file(path: Path, columns: Sequence[ExportColumn], file_format: ExportFormat) -> ExportFile:
    """A new file of this format; raises `ConfigurationError` where it cannot be written."""
    kinds: dict[ExportFormat, type[ExportFile]] = {
        ExportFormat.CSV: CsvFile,
        ExportFormat.JSONL: JsonLinesFile,
        ExportFormat.PARQUET: ParquetFile,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return kinds[file_format](path, columns)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written ({error.strerror}); name another folder") from error


def neutral(text: str) -> str:
    """The text as a cell that no spreadsheet runs as a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _json_text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def _iso(value: datetime) -> str:
    return value.isoformat()


def _arrow_value(kind: str, value: Any) -> Any:
    return _json_text(value) if kind == "json" and value is not None else value


_CELLS: dict[str, Any] = {
    "text": lambda value: neutral(str(value)),
    "number": float,
    "whole": int,
    "flag": int,
    "time": _iso,
    "json": _json_text,
}
