"""How it is answered that a record was taken: stored, or kept safe until the database is back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stateful_engine.api.contract import Reply

if TYPE_CHECKING:
    from stateful_engine.services.state_manager import Saved

PENDING = "True when it is kept safe but not yet in the database."
"""What the field `pending` of such answers says."""


def saved_reply(saved: Saved, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> Reply:
    """200 with `body`, or 202 with `pending` beside it."""
    if saved.pending:
        return Reply({**body, "pending": True}, 202, headers=headers or {})
    return Reply(body, headers=headers or {})
