"""From a unit (user, episode, time block) to a place in [0, 1): the hash and the ranges that GrowthBook's SDKs share.

Everything here is total: bad weights fall back to equal ones and bad coverage to the nearest bound, as in the SDKs,
because an assignment must never raise into a bot. Designs are checked when they are created (`design.check_design`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Range = tuple[float, float]
Namespace = tuple[str, float, float]

_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193
_WEIGHT_SUM_LOW, _WEIGHT_SUM_HIGH = 0.99, 1.01


def fnv1a_32(text: str) -> int:
    """The 32-bit FNV-1a hash of `text`, over UTF-16 code units as JavaScript sees them (equal to bytes for ASCII)."""
    value = _FNV_OFFSET
    encoded = text.encode("utf-16-le", "surrogatepass")
    for low, high in zip(encoded[::2], encoded[1::2], strict=True):
        value = ((value ^ (low | high << 8)) * _FNV_PRIME) & 0xFFFFFFFF
    return value


def bucket(seed: str, value: object, version: int = 2) -> float | None:
    """Where a unit falls in [0, 1): the same for ever for one seed and value.

    Version 2 hashes twice and has 10 000 buckets; version 1, kept for parity, has 1 000 and is biased when experiments
    run side by side. Any other version gives None. Source: GrowthBook SDK specification, `hash`.
    """
    text = hash_text(value)
    if version == 2:
        return fnv1a_32(str(fnv1a_32(seed + text))) % 10_000 / 10_000
    if version == 1:
        return fnv1a_32(text + seed) % 1_000 / 1_000
    return None


def hash_text(value: object) -> str:
    """The text under which a unit is hashed, equal in every language: 7 and 7.0 are "7", true is "true", None is ""."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def equal_weights(n: int) -> list[float]:
    """`n` equal shares that sum to 1; an empty list when `n` is not positive."""
    return [1 / n] * n if n > 0 else []


def bucket_ranges(n: int, coverage: float | None = 1.0, weights: Sequence[float] | None = None) -> list[Range]:
    """The range (low inclusive, high exclusive) of each of `n` variations.

    Each range starts where its full weight would start and is `coverage` of it long, so raising the coverage only adds
    units: nobody who is in changes sides. Coverage is clamped to [0, 1]; weights of another length, or whose sum is
    not within 0.99..1.01, are replaced by equal ones. Source: GrowthBook SDK specification, `getBucketRanges`.
    """
    share = _clamped(1.0 if coverage is None else coverage)
    ranges, start = [], 0.0
    for weight in _usable_weights(n, weights):
        ranges.append((start, start + share * weight))
        start += weight
    return ranges


def _clamped(coverage: float) -> float:
    """`coverage` inside [0, 1]; what is not a number includes nobody."""
    return 0.0 if math.isnan(coverage) else min(max(coverage, 0.0), 1.0)


def _usable_weights(n: int, weights: Sequence[float] | None) -> Sequence[float]:
    if weights is None or len(weights) != n or not _WEIGHT_SUM_LOW <= sum(weights) <= _WEIGHT_SUM_HIGH:
        return equal_weights(n)
    return weights


def choose_variation(x: float, ranges: Sequence[Sequence[float]]) -> int:
    """The index of the first range that contains `x` (low inclusive, high exclusive), or -1 when none does."""
    return next((index for index, (low, high) in enumerate(ranges) if low <= x < high), -1)


def in_namespace(user_id: object, namespace: Sequence[Any]) -> bool:
    """Whether a unit belongs to the slice `(name, low, high)` of a layer.

    Slices of one layer that do not overlap share no unit. Source: GrowthBook SDK specification, `inNamespace` (hash
    version 1, seed "__" + name).
    """
    name, low, high = namespace
    place = bucket(f"__{name}", user_id, 1)
    return place is not None and bool(low <= place < high)
