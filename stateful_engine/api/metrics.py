"""What happened so far, in the text format of Prometheus, the same whichever process of the app answers.

Counts are those of all processes that share the spool folder, and of those that were; gauges describe that folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stateful_engine.events import rows_committed
from stateful_engine.recording.tally import Tally

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime
    from stateful_engine.recording.recorder import RecorderStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ROWS, EVENT, DROPPED = "rows:", "event:", "dropped"


class Metrics:
    """The counts of one app."""

    def __init__(self, runtime: Runtime) -> None:
        self._tally = Tally(runtime.settings.spool_dir / "metrics")
        rows_committed.connect(self._on_rows, sender=runtime)

    def text(self, runtime: Runtime) -> str:
        """The counts and gauges of now."""
        status = runtime.recorder.status()
        own = {f"{EVENT}{name}": value for name, value in runtime.guard.snapshot().items()}
        total = self._tally.total({**own, DROPPED: status.dropped})
        return "\n".join([*_counters(total), *_gauges(status), ""])

    def _on_rows(self, _: Any, *, counts: Mapping[str, int]) -> None:
        self._tally.add({f"{ROWS}{table}": count for table, count in counts.items()})


def _counters(total: Mapping[str, int]) -> Iterator[str]:
    yield from _series(
        "rows_written_total", "counter", "Rows written to the database.", _labelled(total, ROWS, "table")
    )
    yield from _series(
        "events_total", "counter", "What was guarded against or noticed.", _labelled(total, EVENT, "event")
    )
    dropped = {"": total.get(DROPPED, 0)}
    yield from _series("records_dropped_total", "counter", "Records refused because the spool was full.", dropped)


def _gauges(status: RecorderStatus) -> Iterator[str]:
    yield from _gauge("spool_pending_bytes", "Bytes that wait for the database.", status.pending_bytes)
    yield from _gauge("spool_oldest_seconds", "Age of the oldest record that waits.", status.oldest_age_seconds)
    yield from _gauge("spool_rejected_records", "Records that were set aside as bad.", status.rejected)
    yield from _gauge("writer_alive", "Whether the writer of the answering process runs.", int(status.writer_alive))
    if status.stream_lag is not None:
        yield from _gauge("stream_lag_records", "Records that wait in the Redis stream.", status.stream_lag)


def _gauge(name: str, help_text: str, value: float) -> Iterator[str]:
    return _series(name, "gauge", help_text, {"": value})


def _series(name: str, kind: str, help_text: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP stateful_engine_{name} {help_text}"
    yield f"# TYPE stateful_engine_{name} {kind}"
    for labels, value in values.items():
        yield f"stateful_engine_{name}{labels} {value}"


def _labelled(total: Mapping[str, int], prefix: str, label: str) -> dict[str, float]:
    return {
        f'{{{label}="{_escaped(name.removeprefix(prefix))}"}}': value
        for name, value in sorted(total.items())
        if name.startswith(prefix)
    }


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
