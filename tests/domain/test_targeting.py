"""Who an experiment is for."""

from __future__ import annotations

from typing import Any

import pytest

from stateful_engine.domain.targeting import check_condition, matches

PERSON = {
    "country": "DE",
    "age": 30,
    "level": "7",
    "tags": ["pro", "beta"],
    "active": True,
    "nothing": None,
    "account": {"plan": "team", "seats": 5},
}


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"country": "DE"},
        {"country": {"equals": "DE"}},
        {"country": {"in": ["AT", "DE"]}},
        {"age": {"greater": 18}},
        {"age": {"$gte": 30, "$lt": 31}},
        {"age": {"$lte": 30}},
        {"age": "30"},
        {"level": 7},
        {"level": {"$gt": 6}},
        {"country": {"$gt": "AT"}},
        {"tags": {"$in": ["beta"]}},
        {"tags": {"$nin": ["free"]}},
        {"country": {"$ne": "AT"}},
        {"active": True},
        {"nothing": None},
        {"missing": None},
        {"missing": {"$exists": False}},
        {"age": {"$exists": True}},
        {"account.plan": "team"},
        {"$or": [{"country": "AT"}, {"age": 30}]},
        {"$or": []},
        {"$and": [{"country": "DE"}, {"age": 30}]},
        {"$nor": [{"country": "AT"}, {"age": 31}]},
        {"$not": {"country": "AT"}},
        {"country": {"$not": {"$eq": "AT"}}},
    ],
)
def test_a_person_who_meets_every_line_is_taken_in(condition: dict[str, Any]) -> None:
    assert matches(PERSON, condition)
    assert check_condition(condition) == ()


@pytest.mark.parametrize(
    "condition",
    [
        {"country": "AT"},
        {"country": "DE", "age": 31},
        {"country": {"equals": "AT"}},
        {"country": {"in": ["AT"]}},
        {"country": {"in": "DE"}},
        {"country": {"$nin": "AT"}},
        {"age": {"greater": 30}},
        {"missing": {"greater": 0}},
        {"nothing": {"$lt": 5}},
        {"country": {"$gt": 5}},
        {"age": {"$gt": float("nan")}},
        {"age": {"$eq": "30"}},
        {"active": "True"},
        {"active": {"$eq": 1}},
        {"country": None},
        {"nothing": "DE"},
        {"country.code": "DE"},
        {"country": 5},
        {"age": {"$unknown": 1}},
        {"$or": [{"country": "AT"}]},
        {"$nor": [{"country": "DE"}]},
        {"$not": {"country": "DE"}},
    ],
)
def test_a_person_who_misses_one_line_is_left_out(condition: dict[str, Any]) -> None:
    assert not matches(PERSON, condition)


@pytest.mark.parametrize(
    ("condition", "pointer"),
    [
        ("country == DE", "/targeting"),
        ({"age": {"$bigger": 1}}, "/targeting/age"),
        ({"age": {"more": 1}}, None),
        ({"$or": [{"age": {"$bigger": 1}}]}, "/targeting/$or/age"),
    ],
)
def test_a_condition_that_cannot_be_meant_is_refused_before_the_start(condition: object, pointer: str | None) -> None:
    faults = check_condition(condition)
    assert faults
    assert pointer is None or faults[0].pointer == pointer


def test_a_whole_object_can_be_compared_but_a_dotted_path_is_what_a_new_experiment_must_use() -> None:
    condition = {"account": {"plan": "team", "seats": 5}}
    assert matches(PERSON, condition)
    assert len(check_condition(condition)) == 2
