"""The page that says what is recorded about the people who ask: ChatGPT wants its address from every public GPT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import current_app

from stateful_engine.api.contract import Answer, Call, Nothing, Operation, Reply
from stateful_engine.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stateful_engine.config import Settings
    from stateful_engine.extension import Runtime


def privacy(runtime: Runtime, _: Call[Nothing, Nothing]) -> Answer:
    """The text of the host, or one that follows from the settings."""
    text = _given(runtime.settings) or "\n".join(_lines(runtime.settings)) + "\n"
    is_page = text.lstrip()[:5].lower() in {"<!doc", "<html"}
    kind = "text/html" if is_page else "text/plain"
    return Reply(text, enveloped=False, content_type=f"{kind}; charset=utf-8")


def _given(settings: Settings) -> str | None:
    given = settings.privacy_text
    text = current_app.ensure_sync(given)() if callable(given) else given
    if text is not None and not isinstance(text, str):
        raise ConfigurationError(f"STATEFUL_PRIVACY_TEXT returned {type(text).__name__}; return the text to show")
    return text


def _lines(settings: Settings) -> Iterator[str]:
    yield "What this service remembers"
    yield ""
    yield "It gives trading signals and remembers them to learn which deserve trust. Of each request it keeps:"
    yield ""
    yield "- what was asked and what was answered, when, how fast, and whether it worked"
    yield "- what was done with a signal (for example clicked, executed, rated) and how the signal ended"
    yield "- the name of the calling program and the ids it sends for its conversation and its user"
    if settings.hash_user_ids:
        yield "- ids of users as pseudonyms only, from which they cannot be read"
    if settings.store_ip:
        yield "- the network address of the caller"
    yield ""
    yield "Passwords, keys and tokens are replaced, where they are recognised, before anything is stored."
    yield _kept(settings)
    yield "Ask whoever runs this service to see or delete what is kept about you."


def _kept(settings: Settings) -> str:
    days = sorted(set(settings.retention_days.values()))
    if not days:
        return "Records are kept until whoever runs this service deletes them."
    return f"Records are deleted after {' to '.join(str(one) for one in dict.fromkeys((days[0], days[-1])))} days."


OPERATIONS = (
    Operation(
        name="getPrivacy",
        method="GET",
        path="/privacy",
        summary="Say what is recorded",
        description="What is kept about the people who ask, as text; the address that a public GPT has to name.",
        scope=None,
        handler=privacy,
        response_model=None,
        in_actions=False,
        in_mcp=False,
        content_type="text/plain",
        tag="operation",
    ),
)
