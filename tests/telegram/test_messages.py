"""What the bot says: escaped, short enough, with nothing torn; and what fits into a button."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stateful_engine import InvalidInputError
from stateful_engine.telegram import button, messages

SIGNAL_ID = "sig_0123456789ab_1770000000"
WORDS = st.lists(st.sampled_from(["a", "&amp;", "<b>", "</b>", "&lt;", "😀", "\n", "BTC_USDT (+3.1%) "]), max_size=80)


def test_a_button_holds_the_action_and_the_signal_within_64_bytes() -> None:
    made = button("Execute", SIGNAL_ID, "EXECUTE")
    assert (made.text, made.callback_data) == ("Execute", f"se:x:{SIGNAL_ID}")
    longest = str(button("x", SIGNAL_ID, "FEEDBACK", value="v" * 31).callback_data)
    assert len(longest.encode()) == 64


@pytest.mark.parametrize(
    ("signal_id", "action", "value", "why"),
    [
        (SIGNAL_ID, "BUY", None, "no action of a button"),
        ("42", "EXECUTE", None, "no signal id"),
        (SIGNAL_ID, "FEEDBACK", "é" * 16, "64 bytes"),
        (SIGNAL_ID, "FEEDBACK", "v" * 32, "64 bytes"),
    ],
)
def test_what_no_button_can_mean_is_refused(signal_id: str, action: str, value: str | None, why: str) -> None:
    with pytest.raises(InvalidInputError, match=why):
        button("x", signal_id, action, value=value)


def test_every_button_that_can_be_made_is_read_again() -> None:
    for action in messages.CODES.values():
        found = messages.CALLBACK_DATA.fullmatch(messages.callback_data(SIGNAL_ID, action, "v" * 31))
        assert found is not None
        assert (messages.CODES[found[1]], found[2], found[3]) == (action, SIGNAL_ID, "v" * 31)


def test_a_signal_is_told_with_its_result_and_nothing_of_it_is_markup() -> None:
    text = messages.signal_message(
        {
            "signal_id": SIGNAL_ID,
            "symbol": "<b>X",
            "action": "BUY",
            "timeframe": None,
            "take_profit": 0.00001234,
            "outcome": "WIN",
            "pnl_percentage": 3.1,
            "ai_reasoning": "a_b <i>&",
        }
    )
    assert text.split("\n") == [
        "<b>BUY &lt;b&gt;X</b>",
        "Target: 1.234e-05",
        "Outcome: WIN (+3.10%)",
        "a_b &lt;i&gt;&amp;",
        f"<code>{SIGNAL_ID}</code>",
    ]


def test_messages_are_cut_at_line_ends() -> None:
    lines = [f"line {number} {'x' * 90}" for number in range(100)]
    parts = messages.split("\n".join(lines))
    assert len(parts) == 3
    assert "\n".join(parts).split("\n") == lines


def test_characters_count_as_telegram_counts_them() -> None:
    parts = messages.split("😀" * 3000)
    assert len(parts) == 2
    assert all(len(part.encode("utf-16-le")) // 2 <= 4096 for part in parts)


@given(WORDS)
def test_no_cut_tears_a_tag_or_an_entity(words: list[str]) -> None:
    text = balanced("".join(words))
    parts = messages.split(text, most=60)
    assert all(len(part.encode("utf-16-le")) // 2 <= 60 for part in parts)
    assert all(part.count("<b>") == part.count("</b>") for part in parts)
    assert plain("".join(parts)) == plain(text)


def balanced(text: str) -> str:
    """Each line with its own bold parts, as the bot writes them."""
    return "\n".join(re.sub(r"</?b>", "", line) if line.count("<b>") != 1 else bold(line) for line in text.split("\n"))


def bold(line: str) -> str:
    head, _, tail = line.replace("</b>", "").partition("<b>")
    return f"{head}<b>{tail}</b>"


def plain(text: str) -> str:
    return unescape(re.sub(r"</?b>", "", text)).replace("\n", "").replace(" ", "")
