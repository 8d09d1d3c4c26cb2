"""Numbers as hosts write them: prices, confidences and ratios that may be text, percentages or fractions.

Every parser returns None for what is missing or cannot be meant and never raises. Booleans are not numbers, and
what comes back is always finite.
"""

from __future__ import annotations

import math
import re
from numbers import Real

MAX_PRICE = 1e15
_MAX_NUMBER_TEXT = 64
_UNITS = ("USDT", "USDC", "USD", "IDR", "EUR", "RP")
_NUMBER = re.compile(r"[+-]?[0-9][0-9.,]*(?:[eE][+-]?[0-9]{1,3})?|[+-]?\.[0-9]+")
_PERCENT = re.compile(r"([0-9]+(?:[.,][0-9]+)?)\s*%")
_OUT_OF = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*/\s*([0-9]+(?:\.[0-9]+)?)\s*")
_RANGE = re.compile(r"(.*[0-9])\s*(?:-|–|—|~|\bto\b|\.\.\.?)\s*([^0-9]{0,3}[0-9].*)", re.IGNORECASE)


def finite_number(value: object) -> float | None:
    """Read a number or a number's text as a finite float; None for booleans, prose, NaN and infinities."""
    kind = type(value)
    if kind is float or kind is int:
        return _finite(value)
    if kind is bool:
        return None
    if isinstance(value, str):
        return number_from_text(value)
    return _finite(value) if is_number(value) else None


def is_number(value: object) -> bool:
    """Tell whether a value is a number by type: booleans are not, Decimal and numpy scalars are."""
    if isinstance(value, bool):
        return False
    return isinstance(value, (int, float, Real)) or type(value).__name__ == "Decimal"


def _finite(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (OverflowError, ValueError, TypeError):
        return None
    return number if math.isfinite(number) else None


def number_from_text(text: str) -> float | None:
    """Read `$43,500.00`, `43.500,00`, `2650 USD` or `45000 (-2%)`; None for prose and for percentages."""
    if len(text) > _MAX_NUMBER_TEXT:
        return None
    bare = text.split("(", 1)[0].strip().strip("$€£¥~≈@ \u00a0").strip()
    upper = bare.upper()
    for unit in _UNITS:
        if upper.endswith(unit):
            bare = bare[: -len(unit)].rstrip()
            break
    else:
        bare = bare[2:].lstrip(". ") if upper.startswith("RP") else bare
    return _finite(_plain_digits(bare)) if _NUMBER.fullmatch(bare) else None


def _plain_digits(digits: str) -> str:
    """Drop thousands separators of either convention: the last separator, when both occur, is the decimal one."""
    dot, comma = digits.rfind("."), digits.rfind(",")
    if comma < 0:
        return digits.replace(".", "") if digits.count(".") > 1 else digits
    if dot > comma:
        return digits.replace(",", "")
    if dot >= 0:
        return digits.replace(".", "").replace(",", ".")
    return digits.replace(",", "") if _is_grouped(digits) else digits.replace(",", ".")


def _is_grouped(digits: str) -> bool:
    first, *rest = digits.lstrip("+-").split(",")
    return first != "0" and 1 <= len(first) <= 3 and all(len(group) == 3 for group in rest)


def parse_price(value: object) -> float | None:
    """Read a price, also behind a label (`TP1: 44,200`); 0, negatives, NaN and prose mean missing: None."""
    if isinstance(value, str) and len(value) <= _MAX_NUMBER_TEXT:
        value = value.rpartition(":")[2]
    number = finite_number(value)
    return number if number is not None and 0.0 < number <= MAX_PRICE else None


def parse_price_range(text: str) -> tuple[float, float] | None:
    """Read `43300-43500` or `43,300 to 43,500` as (low, high); None when the text is not two prices."""
    if len(text) > _MAX_NUMBER_TEXT or (match := _RANGE.fullmatch(text.strip())) is None:
        return None
    low, high = parse_price(match.group(1)), parse_price(match.group(2))
    if low is None or high is None:
        return None
    return (low, high) if low <= high else (high, low)


def parse_confidence(value: object) -> float | None:
    """Read a confidence as 0–100; None for labels, booleans and everything outside the range.

    A float up to 1.0 is a fraction (`0.85` and `1.0` are 85 and 100), an integer is a percentage (`1` is 1), text may
    be `"85%"`, `"0.85"`, `"8/10"` or `"HIGH (85%)"`.
    """
    number = confidence_number(value)
    return number if number is not None and 0.0 <= number <= 100.0 else None


def confidence_number(value: object) -> float | None:
    """Read a confidence on the scale of 100 without judging the range, so that a caller can tell 150 from prose."""
    kind = type(value)
    if kind is int:
        return _finite(value)
    if isinstance(value, str):
        return _confidence_from_text(value)
    if not is_number(value) or (number := _finite(value)) is None:
        return None
    if isinstance(value, int) or not 0.0 < number <= 1.0:
        return number
    return round(number * 100.0, 6)


def _confidence_from_text(text: str) -> float | None:
    if len(text) > _MAX_NUMBER_TEXT or text.isalpha():
        return None
    if (percent := _PERCENT.search(text)) is not None:
        sign = -1.0 if text[: percent.start()].rstrip().endswith("-") else 1.0
        return sign * float(percent.group(1).replace(",", "."))
    if (parts := _OUT_OF.fullmatch(text)) is not None:
        top, bottom = float(parts.group(1)), float(parts.group(2))
        return round(top / bottom * 100.0, 6) if bottom else None
    number = number_from_text(text)
    if number is None or not 0.0 < number <= 1.0 or not ("." in text or "," in text):
        return number
    return round(number * 100.0, 6)


def parse_ratio(value: object) -> float | None:
    """Read a reward-to-risk ratio: `2.5`, `"2.5"`, `"1:2.5"` (risk to reward) and `"2.5:1"` are all 2.5."""
    if not isinstance(value, str) or ":" not in value:
        return finite_number(value)
    risk, _, reward = value.partition(":")
    first, second = number_from_text(risk), number_from_text(reward)
    if first is None or second is None or first <= 0.0:
        return None
    return first if second == 1.0 else _finite(second / first)
