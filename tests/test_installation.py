"""The secret of an installation: made once, kept from others, the same for all processes."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stateful_engine import installation
from stateful_engine.config import Settings
from stateful_engine.errors import ConfigurationError

PRINT_THE_KEY = """
import sys
from pathlib import Path
from stateful_engine.config import Settings
from stateful_engine.installation import key_for
print(key_for(Settings(instance_path=Path(sys.argv[1])), "people").hex())
"""


def test_processes_that_start_together_agree_on_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    command = [sys.executable, "-c", PRINT_THE_KEY, str(folder)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    keys = {process.communicate(timeout=60)[0].strip() for process in started}
    assert len(keys) == 1
    assert keys == {installation.key_for(Settings(instance_path=folder), "people").hex()}
    assert stat.S_IMODE((folder / installation.FILE).stat().st_mode) == 0o600


def test_a_key_whose_maker_died_halfway_is_made_again(tmp_path: Path) -> None:
    (tmp_path / installation.FILE).write_text("ab")
    assert len(installation.key_for(Settings(instance_path=tmp_path), "people")) == 32
    assert len((tmp_path / installation.FILE).read_text()) == 64


def test_the_setting_wins_and_touches_no_file(tmp_path: Path) -> None:
    settings = Settings(instance_path=tmp_path, hash_key="k" * 32)
    other_machine = Settings(instance_path=tmp_path / "other", hash_key="k" * 32)
    assert installation.key_for(settings, "people") == installation.key_for(other_machine, "people")
    assert list(tmp_path.iterdir()) == []


def test_keys_for_different_purposes_differ(tmp_path: Path) -> None:
    settings = Settings(instance_path=tmp_path)
    assert installation.key_for(settings, "people") != installation.key_for(settings, "links")


def test_a_folder_that_cannot_be_written_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="STATEFUL_HASH_KEY"):
        installation.key_for(Settings(instance_path=tmp_path / "file" / "instance"), "people")
