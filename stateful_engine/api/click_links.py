"""`GET /r/<token>` below the prefix: a click on a signed link is recorded, then the visitor is sent on.

No operation of the API: it is for browsers, asks for no key and is in no document. Programs that only look at a link
(HEAD, previews in chats, prefetching browsers) are sent on, too, but have clicked on nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import Response, current_app, has_request_context, request

from stateful_engine.api import envelope
from stateful_engine.api.contract import DOOR_KEY
from stateful_engine.domain.vocabulary import InteractionType
from stateful_engine.errors import ConfigurationError
from stateful_engine.globals import current_runtime
from stateful_engine.request_info import RequestInfo
from stateful_engine.services.click_links import PATH, Click, ClickLinks

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Any

    from flask import Blueprint

    from stateful_engine.api.door import Door
    from stateful_engine.extension import Runtime

RULE = f"{PATH}<token>"
ENDPOINT = "follow_link"

_PREVIEWS = re.compile(
    r"(?<!cu)bot\b|crawl|spider|preview|facebookexternalhit|facebot|whatsapp|embedly|slurp|vkshare|microsoft office"
    r"|link-?check|headlesschrome|google-safety|mastodon|iframely",
    re.IGNORECASE,
)
"""Agents of programs that fetch a link because somebody has written it down, not because somebody wants to go there."""

_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}


def add_to(blueprint: Blueprint) -> None:
    """Give the API's blueprint the route of click links."""
    blueprint.add_url_rule(RULE, ENDPOINT, _follow, methods=["GET"], provide_automatic_options=False)


def click_link(
    runtime: Runtime, signal_id: str, target: str, *, user_id: Any = None, expires: timedelta | float | None
) -> str:
    """A link that records a click on a signal and leads to `target`."""
    base = runtime.settings.public_url
    if base is None and has_request_context():
        base = request.url_root
    if base is None:
        raise ConfigurationError("outside a request a link needs the address of this app; set STATEFUL_PUBLIC_URL")
    return _links(runtime).link(base, Click(signal_id, target, user_id, None), expires=expires)


def _follow(token: str) -> Response:
    envelope.timing()
    runtime = current_runtime()
    click = _links(runtime).read(token)
    with runtime.guard("record_a_click"):
        if not _only_looks() and _is_within_the_limit():
            _record(runtime, click)
    return Response(status=302, headers={**_HEADERS, "Location": click.target})


def _record(runtime: Runtime, click: Click) -> None:
    info = RequestInfo.from_request(request._get_current_object(), runtime.settings)  # type: ignore[attr-defined]
    interaction = {
        "type": InteractionType.CLICK.value,
        "source": click.source or info.source,
        "data": {"target": click.target},
        "user_id": click.user_id,
        "user_agent": info.user_agent,
        "ip_address": info.remote_addr,
    }
    runtime.state_manager.track_user_interaction(click.signal_id, interaction)


def _only_looks() -> bool:
    headers = request.headers
    purpose = f"{headers.get('Sec-Purpose', '')} {headers.get('Purpose', '')} {headers.get('X-Moz', '')}"
    return request.method == "HEAD" or "prefetch" in purpose or bool(_PREVIEWS.search(headers.get("User-Agent", "")))


def _is_within_the_limit() -> bool:
    door: Door = current_app.extensions[DOOR_KEY]
    return door.welcome(request)


def _links(runtime: Runtime) -> ClickLinks:
    return ClickLinks(runtime.settings, runtime.database.people)


__all__ = ["RULE", "add_to", "click_link"]
