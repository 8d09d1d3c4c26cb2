"""A signal that is read in the writer is the one that the request thread would have read, with the ids given out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from stateful_engine.config import Settings
from stateful_engine.domain.extraction import extract, located
from stateful_engine.recording.folding import folded
from stateful_engine.recording.readings import Reading
from stateful_engine.recording.records import Call, decode, encode
from stateful_engine.recording.rows import rows_of
from tests.factories import shared_cases, shared_folder, short_signal_data, signal_data

IDS = {"signal_id": "sig_aaaaaaaaaaaa_1700000000", "interaction_id": "int_aaaaaaaaaaaa_1700000000"}


def call(body: Any, *, asked: dict[str, Any] | None = None, mapping: dict[str, str] | None = None) -> Call:
    """A tracked call whose one signal has not been read."""
    query = {
        "endpoint": "/api/gpts/signal",
        "request_params": asked or {},
        "user_agent": "curl/8",
        "ip_address": "127.0.0.1",
    }
    given = {**IDS, "interaction_source": "API", "source": "CHAT_GPT", "source_engine": "sharp", "mapping": mapping}
    return Call(1_700_000_000_000_000, "qry_aaaaaaaaaaaa_1700000000", query, json.dumps(body).encode(), unfolded=given)


def read(unread: Call) -> Call:
    """The call as the writer reads it."""
    assert unread.body is not None
    return folded(unread, Reading(json.loads(unread.body)))


def test_the_row_has_the_ids_and_the_origin_that_came_along() -> None:
    made = read(call(signal_data(ai_model="gpt-4o-mini")))
    signal, generated = made.signals[0], made.interactions[0]
    assert (signal["signal_id"], signal["query_id"]) == (IDS["signal_id"], "qry_aaaaaaaaaaaa_1700000000")
    assert (signal["source"], signal["source_engine"], signal["endpoint"]) == ("CHAT_GPT", "sharp", "/api/gpts/signal")
    assert (signal["user_agent"], signal["ip_address"]) == ("curl/8", "127.0.0.1")
    assert (generated["interaction_id"], generated["signal_id"]) == (IDS["interaction_id"], IDS["signal_id"])
    assert made.query is not None
    assert (made.query["confidence_score"], made.query["ai_model_used"]) == (85.5, "gpt-4o-mini")


def test_a_replay_makes_the_same_rows() -> None:
    record = encode(call(signal_data()))
    first, second = (rows_of(decode(record), Settings()) for _ in range(2))
    assert first == second
    assert set(first) == {"signal_history", "gpt_query_log", "user_interaction"}


def test_what_the_body_does_not_say_is_found_in_the_request() -> None:
    body = signal_data(symbol=None, timeframe=None)
    signal = read(call(body, asked={"pair": "ETH/USDT", "tf": "4h"})).signals[0]
    assert (signal["symbol"], signal["timeframe"]) == ("ETHUSDT", "4H")


def test_a_mapping_comes_along() -> None:
    mapping = {"symbol": "a.pair", "action": "a.side"}
    signal = read(call({"a": {"pair": "BTCUSDT", "side": "long"}}, mapping=mapping)).signals[0]
    assert (signal["symbol"], signal["action"]) == ("BTCUSDT", "BUY")


def test_a_call_whose_signals_were_read_stays_as_it_is() -> None:
    read = replace(call(signal_data()), unfolded=None)
    assert folded(read, Reading({})) is read


@pytest.mark.parametrize("body", [{}, [], "prose", {"error": "closed"}])
def test_a_body_in_which_this_version_finds_nothing_is_told_and_not_dropped(body: Any) -> None:
    with pytest.raises(ValueError, match="find no signal"):
        read(call(body))


def test_a_call_that_lost_its_body_is_told_and_not_dropped() -> None:
    with pytest.raises(ValueError, match="without its query and its body"):
        folded(replace(call(signal_data()), body=None), Reading(None))


def bodies() -> list[Any]:
    """Bodies of every kind: our own, and the shared ones where they are at hand."""
    folder = shared_folder("shapes")
    cases = shared_cases("shapes/expected.json")
    names = [name for name in cases["shapes"] if name.endswith(".json")] if folder and cases else []
    shared = [json.loads((folder / name).read_text()) for name in names if folder]
    both = {"signals": [signal_data(), short_signal_data()]}
    return [signal_data(), {"signal": signal_data()}, both, [signal_data()], {}, {"signals": []}, *shared]


@pytest.mark.parametrize("body", bodies())
def test_one_place_is_one_signal_and_no_place_is_none(body: Any) -> None:
    places, found = len(located(body).candidates), len(extract(body).signals)
    assert found <= places
    assert (places > 0) == (found > 0)
    if places == 1:
        assert found == 1
