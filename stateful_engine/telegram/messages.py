"""What the bot says, as Telegram HTML: everything that comes from data is escaped, nothing is longer than allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from stateful_engine.domain.identifiers import signal_made_at
from stateful_engine.domain.vocabulary import InteractionType
from stateful_engine.errors import InvalidInputError
from stateful_engine.telegram.library import require_telegram

if TYPE_CHECKING:
    from telegram import InlineKeyboardButton, InlineKeyboardMarkup

MAX_MESSAGE = 4096
MAX_CALLBACK_DATA = 64
CODES = {
    "c": InteractionType.CLICK,
    "x": InteractionType.EXECUTE,
    "f": InteractionType.FEEDBACK,
    "s": InteractionType.SHARE,
    "v": InteractionType.VIEW,
    "d": InteractionType.DISMISS,
}
CALLBACK_DATA = re.compile(r"se:([cxfsvd]):(sig_[0-9a-f]{12}_[0-9]{1,12})(?::(.{1,40}))?", re.DOTALL)
_TOKEN = re.compile(r"<[^<>]*>|&[#\w]{1,10};|.", re.DOTALL)
_TAG = re.compile(r"<(/?)([a-z]+)")


def button(
    label: str, signal_id: str, action: str = InteractionType.CLICK.value, *, value: str | None = None
) -> InlineKeyboardButton:
    """A button under a message that records CLICK, EXECUTE, FEEDBACK, SHARE, VIEW or DISMISS for a signal.

    >>> button("Execute", signal_id, "EXECUTE")

    `value` goes with it, for example which feedback it is. Raises `InvalidInputError` for what does not fit into the
    64 bytes that Telegram gives a button.
    """
    require_telegram()
    from telegram import InlineKeyboardButton

    return InlineKeyboardButton(label, callback_data=callback_data(signal_id, action, value))


def callback_data(signal_id: str, action: str, value: str | None = None) -> str:
    """The data of a button, at most 64 bytes."""
    code = next((code for code, kind in CODES.items() if kind == str(action).upper()), None)
    if code is None:
        known = ", ".join(CODES.values())
        raise InvalidInputError(f"{str(action)[:40]!r} is no action of a button; use one of {known}")
    if signal_made_at(signal_id) is None:
        raise InvalidInputError(f"{str(signal_id)[:40]!r} is no signal id; use the one that recording returned")
    data = f"se:{code}:{signal_id}" + (f":{value}" if value else "")
    if len(data.encode()) > MAX_CALLBACK_DATA:
        raise InvalidInputError("a button holds 64 bytes; use a shorter value")
    return data


def signal_buttons(signal_id: str, link: str | None = None) -> InlineKeyboardMarkup:
    """The usual buttons under a signal, and one that opens `link` where there is one."""
    require_telegram()
    from telegram import InlineKeyboardButton, InlineKeyboardMarkup

    first = [button("Execute", signal_id, "EXECUTE"), button("Share", signal_id, "SHARE")]
    second = [button("👍", signal_id, "FEEDBACK", value="up"), button("👎", signal_id, "FEEDBACK", value="down")]
    third = [] if link is None else [[InlineKeyboardButton("Open", url=link)]]
    return InlineKeyboardMarkup([first, second, *third])


def signal_message(signal: Mapping[str, Any]) -> str:
    """A signal, as `get_signal` gives it."""
    heading = f"<b>{_text(signal.get('action'))} {_text(signal.get('symbol'))}</b> {_text(signal.get('timeframe'), '')}"
    lines = [heading.rstrip()]
    for label, name in (("Entry", "entry_price"), ("Target", "take_profit"), ("Stop", "stop_loss")):
        if signal.get(name) is not None:
            lines.append(f"{label}: {_number(signal[name])}")
    if signal.get("confidence") is not None:
        lines.append(f"Confidence: {_number(signal['confidence'])}%")
    if signal.get("outcome") not in (None, "PENDING"):
        lines.append(f"Outcome: {_text(signal['outcome'])}{_result(signal.get('pnl_percentage'))}")
    elif signal.get("is_executed"):
        lines.append("Executed")
    if signal.get("ai_reasoning"):
        lines.append(_text(str(signal["ai_reasoning"])[:800]))
    return "\n".join([*lines, f"<code>{_text(signal.get('signal_id'), '')}</code>"])


def dashboard_message(figures: Mapping[str, Any], *, days: int) -> str:
    """The answer to `/dashboard`, from `{"signals", "recommendations", "engagement", "scanner", "journal"}`."""
    parts = [
        [f"<b>Dashboard, {days} days</b>"],
        _signals_part(figures["signals"]),
        _recommendations_part(figures["recommendations"]),
        _engagement_part(figures["engagement"]),
        _scanner_part(figures["scanner"]["signals"]),
        _journal_part(figures["journal"]),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _signals_part(found: Mapping[str, Any]) -> list[str]:
    return [
        "<b>Signals</b>",
        f"{found['total_signals']} made, {found['executed_signals']} executed, {found['closed_signals']} closed",
        f"Win rate {_number(found['win_rate'])}% (n = {found['winning_signals'] + found['losing_signals']})",
    ]


def _recommendations_part(found: Mapping[str, Any]) -> list[str]:
    by_symbol = [
        f"• {_text(symbol)}: {row['count']} executed, {row['wins']} won, average {_number(row['avg_pnl'])}"
        for symbol, row in found["by_symbol"].items()
    ]
    return [
        "<b>Recommendations</b>",
        f"{found['total_recommendations']} made, {found['executed_count']} executed "
        f"({_number(found['execution_rate'])}%)",
        f"Win rate {_number(found['win_rate'])}% (n = {found['win_rate_n']}), "
        f"average P&amp;L {_number(found['avg_pnl'])}, average R {_number(found['avg_r'])}",
        *by_symbol,
    ]


def _engagement_part(found: Mapping[str, Any]) -> list[str]:
    popular = [f"• {_text(name)}: {count}" for name, count in found["popular_actions"].items()]
    return [
        "<b>People</b>",
        f"{found['total_actions']} actions of {found['unique_users']} people, "
        f"{_number(found['avg_actions_per_user'])} each",
        *popular,
    ]


def _scanner_part(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"• {_text(row['symbol'])} {_text(row['direction'])}: {row['count']} seen, {row['notified_count']} told, "
        f"confidence {_number(row['avg_confidence'])}%"
        for row in rows
    ]
    return ["<b>Scanner</b>", *lines] if lines else []


def _journal_part(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return ["<b>Journal</b>", *(_event(row) for row in rows)] if rows else []


def _event(row: Mapping[str, Any]) -> str:
    stop = f" stop {_number(row['old_sl'])} → {_number(row['sl'])}" if row.get("old_sl") and row.get("sl") else ""
    filled = (row.get("extra") or {}).get("filled")
    notes = f" ({_text(str(row['notes'])[:200])})" if row.get("notes") else ""
    order = f" order {_text(filled)}" if filled else ""
    return f"• {_text(row['event'])} {_text(row.get('symbol'), '')}{order}{stop}{notes}"


def split(text: str, *, most: int = MAX_MESSAGE) -> list[str]:
    """Cut HTML into messages that Telegram takes, at line ends where possible; no tag or entity is torn.

    Telegram counts UTF-16 code units; counting the markup too is on the safe side.
    """
    messages = [""]
    for line in _lines(text, most):
        joined = f"{messages[-1]}\n{line}" if messages[-1] else line
        if _units(joined) <= most:
            messages[-1] = joined
        else:
            messages.append(line)
    return [message for message in messages if message.strip()]


def _lines(text: str, most: int) -> Iterator[str]:
    for line in text.split("\n"):
        if _units(line) <= most:
            yield line
        else:
            yield from _pieces(line, most)


def _pieces(line: str, most: int) -> Iterator[str]:
    """A line that is too long, in pieces that close the tags they open."""
    piece = ""
    tags: list[str] = []
    for match in _TOKEN.finditer(line):
        token = match[0]
        if _units(piece + token + _closing(tags)) > most - 16:
            yield piece + _closing(tags)
            piece = "".join(f"<{tag}>" for tag in tags)
        piece += token
        _follow(token, tags)
    yield piece


def _follow(token: str, tags: list[str]) -> None:
    tag = _TAG.match(token)
    if tag is None:
        return
    if tag[1]:
        tags.pop()
    else:
        tags.append(tag[2])


def _closing(tags: Sequence[str]) -> str:
    return "".join(f"</{tag}>" for tag in reversed(tags))


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _text(value: Any, missing: str = "–") -> str:
    return missing if value is None else escape(str(value))


def _number(value: Any) -> str:
    return "–" if value is None else f"{float(value):.10g}"


def _result(percentage: Any) -> str:
    return "" if percentage is None else f" ({float(percentage):+.2f}%)"
