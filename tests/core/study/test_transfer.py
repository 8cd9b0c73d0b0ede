"""Observations of earlier runs, fitted to a space that only overlaps with theirs."""

from __future__ import annotations

import pytest

import hpdist
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.space.space import Float, Space
from hpdist.core.study.study import Study

OLD = [
    {"config": {"lr": 0.1, "units": 64, "opt": "sgd"}, "budget": 1.0, "loss": 1.0},
    {"config": {"lr": 0.5, "units": 64, "opt": "adam"}, "budget": 3.0, "loss": None},
    {"config": {"lr": 0.2, "units": 900, "opt": "sgd"}, "budget": 1.0, "loss": 3.0},
    {"config": {"lr": 0.3, "units": 16, "opt": "lamb"}, "budget": 1.0, "loss": 4.0},
]


def frame(rows: list[dict]):
    import pandas as pd

    return pd.DataFrame(
        [
            {"budget": row["budget"], "loss": row["loss"]}
            | {f"config.{name}": value for name, value in row["config"].items()}
            for row in rows
        ]
    )


def test_what_fits_is_kept_without_what_is_not_known_and_with_defaults() -> None:
    space = Space.of(
        {
            "lr": (0.0, 1.0),
            "units": (8, 512),
            "opt": ["sgd", "adam"],
            "decay": Float(0, 1, default=0.25),
        }
    )
    fitted = hpdist.transfer(frame(OLD), space)
    assert [one["config"]["lr"] for one in fitted] == [0.1, 0.5]
    assert [one["config"]["decay"] for one in fitted] == [0.25, 0.25]
    assert [one["loss"] for one in fitted] == [1.0, None]
    (first, _) = hpdist.transfer(frame(OLD), space, defaults={"decay": 0.0})
    assert first["config"]["decay"] == 0.0


def test_what_the_new_space_does_not_have_is_left_out() -> None:
    fitted = hpdist.transfer(frame(OLD), {"lr": (0.0, 1.0)})
    assert [one["config"] for one in fitted] == [{"lr": x} for x in (0.1, 0.5, 0.2, 0.3)]


def test_conditions_and_forbidden_clauses_of_the_new_space_hold() -> None:
    import ConfigSpace as CS

    space = CS.ConfigurationSpace(
        {"lr": (0.0, 1.0), "opt": ["sgd", "adam"], "momentum": (0.0, 1.0)}
    )
    space.add(CS.EqualsCondition(space["momentum"], space["opt"], "sgd"))
    space.add(CS.ForbiddenEqualsClause(space["lr"], 0.2))
    fitted = hpdist.transfer(frame(OLD), space)
    assert [one["config"] for one in fitted] == [
        {"lr": 0.1, "momentum": 0.5, "opt": "sgd"},
        {"lr": 0.5, "opt": "adam"},
    ]


def test_a_search_begins_with_what_was_transferred() -> None:
    space = {"lr": (0.0, 1.0)}
    study = Study(space, warm_start=hpdist.transfer(frame(OLD), space))
    assert len(study.warm_start) == 4


def test_if_nothing_fits_the_reason_is_told() -> None:
    with pytest.raises(ConfigurationError, match="none of the 4 observations fits") as caught:
        hpdist.transfer(frame(OLD), {"lr": (5.0, 6.0)})
    assert "lr" in str(caught.value)
    assert hpdist.transfer([], {"lr": (5.0, 6.0)}) == []
