"""How a page of records is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stateful_engine.api.schemas import PageQuery
    from stateful_engine.storage.pages import Page


def page_reply(name: str, page: Page, wanted: PageQuery) -> dict[str, Any]:
    """The members of a page: the records under `name`, the filters as understood, and how to go on."""
    return {
        name: list(page.items),
        "total_returned": len(page.items),
        "filters": wanted.model_dump(exclude={"cursor"}),
        "next_cursor": page.next_cursor,
        "has_more": page.has_more,
    }
