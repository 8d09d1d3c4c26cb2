"""Which browser the tests drive: the Chromium of this system, so that none has to be downloaded."""

from __future__ import annotations

import shutil
import subprocess
from functools import lru_cache

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

MISSING = (
    "The browser tests did not run: there is no Chromium on this system. Install it (Debian: apt-get install chromium, "
    "Fedora: dnf install chromium, macOS: brew install --cask chromium) to have the pages tried in a real browser."
)


@lru_cache(maxsize=1)
def chromium() -> str | None:
    """The path of a Chromium that starts, None where there is none; some systems have a stub of that name."""
    return next((path for name in NAMES if (path := shutil.which(name)) is not None and _starts(path)), None)


def _starts(path: str) -> bool:
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
