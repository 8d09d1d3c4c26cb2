from __future__ import annotations

import os
from pathlib import Path

import pytest

from stateful_engine.recording import tally
from stateful_engine.recording.tally import Tally


@pytest.fixture(autouse=True)
def every_count_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "NOTE_EVERY", 0.0)


def test_counts_of_all_processes_add_up(tmp_path: Path) -> None:
    one, other = Tally(tmp_path), Tally(tmp_path)

    one.add({"rows": 2})
    one.add({"rows": 3, "drops": 1})
    other.add({"rows": 10})

    assert one.total({"seen": 7}) == other.total({}) == {"rows": 15, "drops": 1, "seen": 7}


def test_counts_kept_elsewhere_are_set_and_not_added(tmp_path: Path) -> None:
    one = Tally(tmp_path)

    assert one.total({"seen": 7}) == {"seen": 7}
    assert one.total({"seen": 8}) == {"seen": 8}


def test_counts_of_a_process_that_is_gone_stay(tmp_path: Path) -> None:
    for number in range(3):
        gone = Tally(tmp_path)
        gone.add({"rows": number})
        gone.close()

    here = Tally(tmp_path)

    assert here.total({}) == {"rows": 3}
    assert here.total({}) == {"rows": 3}
    assert len(list(tmp_path.glob("*.tally"))) == 1


def test_constructing_touches_no_file_and_a_folder_that_cannot_be_made_only_loses_the_others(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    lonely = Tally(tmp_path / "file" / "metrics")
    lonely.add({"rows": 1})

    assert not list(tmp_path.glob("*.tally"))
    assert lonely.total({}) == {"rows": 1}


def test_a_file_that_is_no_tally_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "1-broken.tally").write_bytes(b"{")
    (tmp_path / "2-list.tally").write_bytes(b"[1]")

    assert Tally(tmp_path).total({"rows": 1}) == {"rows": 1}


def test_a_forked_child_counts_for_itself(tmp_path: Path) -> None:
    parent = Tally(tmp_path)
    parent.add({"rows": 1})

    child = os.fork()
    if child == 0:
        parent.add({"rows": 10})
        os._exit(0)
    os.waitpid(child, 0)
    parent.add({"rows": 1})

    assert parent.total({}) == {"rows": 12}


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    one = Tally(tmp_path / "metrics")
    one.add({"rows": 1})

    (path,) = (tmp_path / "metrics").glob("*.tally")
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
