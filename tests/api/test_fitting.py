from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.api.calls import PREFIX, track

if TYPE_CHECKING:
    from flask.testing import FlaskClient

CHATGPT = {"User-Agent": "Mozilla/5.0 (compatible; ChatGPT-User/1.0)"}
MOST = 90_000


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Which database stands behind the door makes no difference here."""
    return sqlite_url


def test_a_page_that_is_too_long_for_chatgpt_is_shorter_and_leads_on(client: FlaskClient) -> None:
    ids = [track(client, ai_reasoning="why € " * 1500) for _ in range(25)]

    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        answer = client.get(f"{PREFIX}/signal-history?limit=25{cursor and f'&cursor={cursor}'}", headers=CHATGPT)
        body = answer.json
        assert len(answer.text) <= MOST
        assert body["total_returned"] == len(body["signals"]) > 0
        assert body["filters"]["limit"] == 25
        seen += [signal["signal_id"] for signal in body["signals"]]
        cursor = body["next_cursor"]
        assert body.get("truncated", False) is (len(seen) < 25 or "truncated" in body)

    assert seen == ids[::-1]


def test_other_callers_get_everything(client: FlaskClient) -> None:
    for _ in range(12):
        track(client, ai_reasoning="x" * 9000)

    answer = client.get(f"{PREFIX}/signal-history")

    assert len(answer.text) > MOST
    assert answer.json["total_returned"] == 12
    assert "truncated" not in answer.json


def test_an_answer_that_fits_is_not_touched(client: FlaskClient) -> None:
    track(client)

    assert "truncated" not in client.get(f"{PREFIX}/signal-history", headers=CHATGPT).json


@pytest.mark.parametrize("headers", [CHATGPT, {"openai-gpt-id": "g-1"}, {"openai-conversation-id": "c-1"}])
def test_one_record_that_is_too_long_by_itself_is_cut(client: FlaskClient, headers: dict[str, str]) -> None:
    evidence: Any = {"levels": [f"level {number}" for number in range(3000)], "text": "x" * 60_000}
    signal_id = track(client, ai_reasoning="y" * 80_000, smc_analysis=evidence)

    page = client.get(f"{PREFIX}/signal-history", headers=headers)
    one = client.get(f"{PREFIX}/signal/{signal_id}", headers=headers)

    for answer in (page, one):
        assert len(answer.text) <= MOST
        assert answer.json["truncated"] is True
    assert page.json["signals"][0]["signal_id"] == signal_id
    assert one.json["signal"]["ai_reasoning"].endswith("…")
