"""Dotted paths read bodies whose shape only the host knows."""

from __future__ import annotations

from stateful_engine.domain.extraction import extract
from stateful_engine.domain.mapping import value_at

BODY = {
    "payload": {
        "pair": "BTC/USDT",
        "verdict": {"side": "long", "sureness": 0.8},
        "plan": {"in": 45000, "out": [46000, 47000], "stop": 44000},
    }
}
PATHS = {
    "symbol": "payload.pair",
    "action": "payload.verdict.side",
    "confidence": "payload.verdict.sureness",
    "entry_price": "payload.plan.in",
    "take_profit": "payload.plan.out",
    "stop_loss": "payload.plan.stop",
}


def test_paths_fill_the_fields_of_a_body_that_no_rule_knows() -> None:
    assert extract(BODY).signals == ()
    signal = extract(BODY, mapping=PATHS).signals[0]
    assert (signal.symbol, signal.action, signal.confidence) == ("BTCUSDT", "BUY", 80.0)
    assert (signal.entry_price, signal.take_profit, signal.stop_loss) == (45000.0, 46000.0, 44000.0)


def test_paths_of_a_list_are_relative_to_its_items_and_fall_back_to_the_body() -> None:
    body = {
        "feed": {
            "coin": "SOL-USDT",
            "rows": [{"do": "buy", "at": 150}, "junk", {"do": "dance"}, {"do": "sell", "at": 160}],
        }
    }
    found = extract(body, mapping={"signals": "feed.rows", "action": "do", "entry_price": "at", "symbol": "feed.coin"})
    assert [(signal.symbol, signal.action, signal.entry_price) for signal in found.signals] == [
        ("SOLUSDT", "BUY", 150.0),
        ("SOLUSDT", "SELL", 160.0),
    ]
    assert [note.pointer for note in found.notes] == ["/feed/rows/2"]


def test_a_mapping_without_an_action_corrects_fields_of_what_the_rules_find() -> None:
    body = {"signal": {"action": "BUY", "price": 1.0, "symbol": "WRONG"}, "names": ["XAUUSDc"]}
    signal = extract(body, mapping={"symbol": "names.0", "timeframe": "nowhere"}).signals[0]
    assert (signal.symbol, signal.symbol_raw, signal.timeframe) == ("XAUUSD", "XAUUSDc", None)


def test_a_mapped_body_that_refuses_is_still_a_refusal() -> None:
    assert extract({**BODY, "status": "rejected"}, mapping=PATHS).signals == ()


def test_a_mapped_list_is_capped_like_any_other() -> None:
    body = {"rows": [{"do": "buy", "at": index} for index in range(1, 500)]}
    assert len(extract(body, mapping={"signals": "rows", "action": "do", "entry_price": "at"}).signals) == 100


def test_a_path_that_leads_nowhere_is_none() -> None:
    assert value_at({"a": [{"b": 1}]}, "a.0.b") == 1
    assert value_at({"a": [{"b": 1}]}, "a.1.b") is None
    assert value_at({"a": 5}, "a.b.c") is None
