"""Assignment: the same unit gets the same variant in every language, for ever, and nobody changes sides in a ramp."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stateful_engine.domain.assignment import (
    AssignmentReason,
    Filter,
    Rule,
    bucket,
    bucket_ranges,
    choose_variation,
    decide,
    equal_weights,
    in_namespace,
    run_experiment,
    sticky_bucket,
    with_sticky,
)
from stateful_engine.domain.bucketing import fnv1a_32, hash_text
from tests.domain.experiment_truth import truth


def floored(values: Any, decimals: int) -> list[int]:
    """Both sides cut after some decimals, as the peers compare; the nudge absorbs the last bit of binary fractions."""
    return [math.floor(value * 10**decimals + 1e-6) for value in values]


@pytest.mark.parametrize("case", truth("hash"))
def test_a_unit_falls_into_the_bucket_that_every_sdk_gives_it(case: dict[str, Any]) -> None:
    assert bucket(**case["inputs"]) == case["expected"]


@pytest.mark.parametrize("case", truth("bucket_ranges"))
def test_ranges_agree_with_every_sdk(case: dict[str, Any]) -> None:
    inputs = case["inputs"]
    ranges = bucket_ranges(inputs["num_variations"], inputs["coverage"], inputs["weights"])
    assert [floored(one, 8) for one in ranges] == [floored(one, 8) for one in case["expected"]]


@pytest.mark.parametrize("case", truth("choose_variation"))
def test_the_range_that_contains_the_bucket_is_chosen(case: dict[str, Any]) -> None:
    assert choose_variation(case["inputs"]["n"], case["inputs"]["ranges"]) == case["expected"]


@pytest.mark.parametrize("case", truth("in_namespace"))
def test_a_layer_slice_takes_the_units_that_every_sdk_takes(case: dict[str, Any]) -> None:
    assert in_namespace(case["inputs"]["user_id"], case["inputs"]["namespace"]) is case["expected"]


@pytest.mark.parametrize("case", truth("equal_weights"))
def test_equal_weights_agree_with_every_sdk(case: dict[str, Any]) -> None:
    assert floored(equal_weights(case["inputs"]["n"]), 8) == floored(case["expected"], 8)


@pytest.mark.parametrize("case", truth("run_experiment"))
def test_the_whole_decision_agrees_with_every_sdk(case: dict[str, Any]) -> None:
    result = run_experiment(case["inputs"]["context"], case["inputs"]["experiment"])
    assert {key: result[key] for key in case["expected"]} == case["expected"]


@pytest.mark.parametrize("case", truth("sticky_bucket"))
def test_sticky_buckets_agree_with_every_sdk(case: dict[str, Any]) -> None:
    inputs = case["inputs"]
    result, docs = sticky_bucket(inputs["context"], inputs["stored_docs"], inputs["feature"])
    assert result == case["expected"]["result"]
    assert docs == case["expected"]["docs_after"]


@pytest.mark.parametrize(
    ("text", "expected"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("b", 0xE70C2DE5), ("foobar", 0xBF9CF968)]
)
def test_the_hash_is_fnv_1a_as_its_authors_publish_it(text: str, expected: int) -> None:
    assert fnv1a_32(text) == expected


def test_texts_beyond_ascii_hash_as_javascript_sees_them() -> None:
    by_code_unit = 0x811C9DC5
    for unit in (0x00FC, 0xD83D, 0xDE80):  # "ü" and the surrogate pair of a rocket
        by_code_unit = ((by_code_unit ^ unit) * 0x01000193) % 2**32
    assert fnv1a_32("ü🚀") == by_code_unit


def test_version_two_hashes_the_decimal_text_of_the_first_hash() -> None:
    assert bucket("seed", "user") == fnv1a_32(str(fnv1a_32("seeduser"))) % 10_000 / 10_000
    assert bucket("seed", "user", 1) == fnv1a_32("userseed") % 1_000 / 1_000
    assert bucket("seed", "user", 3) is None


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (7.0, "7"), (7.5, "7.5"), (True, "true"), (False, "false"), (None, ""), ("x", "x")]
)
def test_a_number_and_its_text_are_the_same_unit(value: object, text: str) -> None:
    assert hash_text(value) == text
    assert bucket("s", value) == bucket("s", text)


def test_ten_thousand_users_spread_evenly_and_independently_of_another_experiment() -> None:
    cells = [0] * 4
    for user in range(10_000):
        left, right = bucket("first:1", f"user-{user}"), bucket("second:1", f"user-{user}")
        assert left is not None
        assert right is not None
        cells[2 * (left < 0.5) + (right < 0.5)] += 1
    chi_square = sum((count - 2500) ** 2 / 2500 for count in cells)
    assert chi_square < 16.27  # the 99.9 % point with three degrees of freedom


def test_a_ramp_of_coverage_only_adds_units_and_moves_nobody() -> None:
    places = [step / 10_000 for step in range(10_000)]
    before = [-1] * len(places)
    for coverage in (0.0, 0.01, 0.1, 0.5, 0.9, 1.0):
        ranges = bucket_ranges(3, coverage, [0.2, 0.3, 0.5])
        now = [choose_variation(place, ranges) for place in places]
        assert all(old in (-1, new) for old, new in zip(before, now, strict=True))
        before = now
    assert -1 not in before


def test_the_smallest_weight_takes_exactly_one_bucket_in_ten_thousand() -> None:
    ranges = bucket_ranges(2, 1.0, [0.0001, 0.9999])
    assert [choose_variation(step / 10_000, ranges) for step in range(3)] == [0, 1, 1]


@pytest.mark.parametrize("n", [0, -1, -5])
def test_no_variations_have_no_weights_and_no_ranges(n: int) -> None:
    assert equal_weights(n) == []
    assert bucket_ranges(n, 1.0, None) == []
    assert choose_variation(0.5, bucket_ranges(n)) == -1


@pytest.mark.parametrize(("coverage", "length"), [(-0.2, 0.0), (1.7, 0.5), (math.nan, 0.0), (None, 0.5), (0.4, 0.2)])
def test_coverage_outside_its_bounds_is_taken_to_the_nearest(coverage: float | None, length: float) -> None:
    assert bucket_ranges(2, coverage) == [(0.0, length), (0.5, 0.5 + length)]


@pytest.mark.parametrize("weights", [[0.4, 0.1], [0.7, 0.6], [1.0], [0.2, 0.2, 0.6], [], [math.nan, 0.5]])
def test_weights_that_cannot_be_meant_are_replaced_by_equal_ones(weights: list[float]) -> None:
    assert bucket_ranges(2, 1.0, weights) == [(0.0, 0.5), (0.5, 1.0)]


def test_slices_of_one_layer_that_do_not_overlap_share_no_unit() -> None:
    slices = [("layer", 0.0, 0.4), ("layer", 0.4, 0.7), ("layer", 0.7, 1.0)]
    for user in range(2_000):
        assert sum(in_namespace(f"user-{user}", one) for one in slices) == 1


RULE = Rule("engine", seed="engine:1")


def test_a_plain_rule_assigns_by_hash_and_says_so() -> None:
    decision = decide(RULE, {"id": "u1"})
    assert decision.in_experiment
    assert decision.hash_used
    assert decision.reason is AssignmentReason.ASSIGNED
    assert decision.bucket == bucket("engine:1", "u1")
    assert decision.variation == choose_variation(decision.bucket or 0.0, [(0, 0.5), (0.5, 1)])


@pytest.mark.parametrize(
    ("rule", "attributes", "options", "reason"),
    [
        (Rule("e", 1), {"id": "u"}, {}, AssignmentReason.TOO_FEW_VARIATIONS),
        (RULE, {"id": "u"}, {"enabled": False}, AssignmentReason.DISABLED),
        (Rule("e", active=False), {"id": "u"}, {}, AssignmentReason.INACTIVE),
        (Rule("e", stopped=True), {"id": "u"}, {}, AssignmentReason.STOPPED),
        (RULE, {}, {}, AssignmentReason.NO_UNIT),
        (RULE, {"id": None}, {}, AssignmentReason.NO_UNIT),
        (RULE, {"id": ""}, {}, AssignmentReason.NO_UNIT),
        (Rule("e", namespace=("layer", 0.0, 0.0)), {"id": "u"}, {}, AssignmentReason.OTHER_LAYER),
        (Rule("e", filters=(Filter("s", ()),)), {"id": "u"}, {}, AssignmentReason.OTHER_LAYER),
        (Rule("e", filters=(Filter("s", ((0, 1),), "team"),)), {"id": "u"}, {}, AssignmentReason.OTHER_LAYER),
        (Rule("e", condition={"plan": "pro"}), {"id": "u"}, {}, AssignmentReason.NOT_TARGETED),
        (Rule("e", coverage=0.0), {"id": "u"}, {}, AssignmentReason.NOT_COVERED),
        (Rule("e", hash_version=9), {"id": "u"}, {}, AssignmentReason.BAD_HASH_VERSION),
        (RULE, {"id": "u"}, {"qa_mode": True}, AssignmentReason.QA_MODE),
        (RULE, {"id": "u"}, {"forced": {"engine": 5}}, AssignmentReason.FORCED),
        (RULE, {"id": "u"}, {"forced": {"engine": -1}}, AssignmentReason.FORCED),
        (Rule("e", force=-1), {"id": "u"}, {}, AssignmentReason.FORCED),
    ],
)
def test_whoever_is_outside_gets_control_and_the_reason(
    rule: Rule, attributes: dict[str, Any], options: dict[str, Any], reason: AssignmentReason
) -> None:
    decision = decide(rule, attributes, **options)
    assert (decision.variation, decision.in_experiment, decision.hash_used) == (0, False, False)
    assert decision.reason is reason


def test_a_forced_variant_wins_over_everything_that_would_exclude_the_unit() -> None:
    rule = Rule("e", coverage=0.0, active=False, condition={"plan": "pro"})
    decision = decide(rule, {"id": "u"}, forced={"e": 1}, qa_mode=True)
    assert (decision.variation, decision.in_experiment, decision.hash_used) == (1, True, False)


def test_filters_replace_the_namespace() -> None:
    rule = Rule("e", namespace=("layer", 0.0, 0.0), filters=(Filter("s", ((0.0, 1.0),)),))
    assert decide(rule, {"id": "u"}).in_experiment


def test_a_stored_assignment_outlives_coverage_and_targeting() -> None:
    rule = Rule("e", coverage=0.0, condition={"plan": "pro"}, variation_keys=("A", "B"))
    decision = decide(rule, {"id": "u"}, sticky={"id||u": {"e__0": "B"}})
    assert (decision.variation, decision.reason) == (1, AssignmentReason.STICKY)
    assert decision.sticky_used


def test_a_stored_assignment_that_names_no_variation_is_dealt_anew() -> None:
    decision = decide(RULE, {"id": "u"}, sticky={"id||u": {"engine__0": "gone"}})
    assert decision.reason is AssignmentReason.ASSIGNED


def test_a_new_bucket_version_deals_anew_and_a_minimum_version_shuts_out_whoever_saw_less() -> None:
    stored = {"id||u": {"e__0": "1"}}
    assert decide(Rule("e", bucket_version=1), {"id": "u"}, sticky=stored).reason is AssignmentReason.ASSIGNED
    blocked = decide(Rule("e", bucket_version=1, min_bucket_version=1), {"id": "u"}, sticky=stored)
    assert (blocked.in_experiment, blocked.reason) == (False, AssignmentReason.BLOCKED_VERSION)
    held = decide(Rule("e", bucket_version=1, min_bucket_version=1), {"id": "u"}, sticky={"id||u": {"e__1": "1"}})
    assert held.reason is AssignmentReason.STICKY


def test_who_signs_in_keeps_what_was_stored_for_the_device() -> None:
    rule = Rule("e", fallback_attribute="device")
    before = decide(rule, {"device": "d"}, sticky={})
    assert (before.hash_attribute, before.hash_value) == ("device", "d")
    docs = with_sticky(rule, before, {})
    after = decide(rule, {"id": "u", "device": "d"}, sticky=docs)
    assert after.variation == before.variation
    assert with_sticky(rule, after, docs)["id||u"] == docs["device||d"]


def test_nothing_is_stored_for_units_that_are_outside_or_forced() -> None:
    assert with_sticky(RULE, decide(Rule("engine", coverage=0.0), {"id": "u"}), {}) == {}
    assert with_sticky(RULE, decide(RULE, {"id": "u"}, forced={"engine": 1}), {}) == {}


def test_a_stored_assignment_needs_a_hash_version_that_exists_too() -> None:
    decision = decide(Rule("e", hash_version=9), {"id": "u"}, sticky={"id||u": {"e__0": "1"}})
    assert (decision.in_experiment, decision.reason) == (False, AssignmentReason.BAD_HASH_VERSION)


def test_the_json_of_an_sdk_brings_its_filters_ranges_and_forced_variation() -> None:
    experiment: dict[str, Any] = {"key": "e", "variations": ["a", "b"], "ranges": [[0, 0], [0, 1]]}
    context = {"attributes": {"id": "u", "team": "t"}}
    assert run_experiment(context, experiment)["value"] == "b"
    everybody, nobody = {"seed": "s", "ranges": [[0, 1]], "attribute": "team"}, {"seed": "s", "ranges": [[0, 0]]}
    assert run_experiment(context, {**experiment, "filters": [everybody]})["in_experiment"]
    assert not run_experiment(context, {**experiment, "filters": [everybody, nobody]})["in_experiment"]
    assert run_experiment(context, {**experiment, "force": 0})["value"] == "a"
    assert not run_experiment(context, {**experiment, "force": None})["in_experiment"]
    assert run_experiment(context, {**experiment, "status": "draft"})["reason"] == "inactive"
    assert run_experiment(context, {**experiment, "status": "stopped"})["reason"] == "stopped"


def test_an_unknown_feature_takes_nobody_in_and_keeps_other_peoples_documents_out() -> None:
    docs = [{"attributeName": "id", "attributeValue": "somebody else", "assignments": {"e__0": "1"}}]
    assert sticky_bucket({"attributes": {"id": "u"}, "features": {}}, docs, "e") == (None, {})


@given(
    st.builds(
        Rule,
        key=st.text(),
        variations=st.integers(-2, 5),
        hash_version=st.integers(0, 3),
        coverage=st.floats() | st.none(),
        weights=st.none() | st.lists(st.floats(), max_size=6).map(tuple),
        force=st.none() | st.integers(-3, 9),
        min_bucket_version=st.integers(0, 3),
    ),
    st.dictionaries(
        st.sampled_from(["id", "plan"]), st.text() | st.integers() | st.floats() | st.none() | st.booleans()
    ),
    st.none() | st.dictionaries(st.text(), st.integers()),
)
def test_no_rule_however_senseless_raises_or_names_a_variation_that_is_not_there(
    rule: Rule, attributes: dict[str, Any], forced: dict[str, int] | None
) -> None:
    decision = decide(rule, attributes, forced=forced, sticky={})
    assert decision.variation == 0 or 0 < decision.variation < rule.variations
    assert decision == decide(rule, attributes, forced=forced, sticky={})
