"""Door for JSON over HTTP: what ChatGPT, bots and scripts call below `STATEFUL_URL_PREFIX`."""

from __future__ import annotations

from stateful_engine.api.blueprint import register

__all__ = ["register"]
