"""The package's logger. A library adds no handlers; `setup_file_logging` is for the host to call."""

from __future__ import annotations

import logging

logger = logging.getLogger("stateful_engine")
logger.addHandler(logging.NullHandler())
