"""The examples of ``docs/testing.rst`` run."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from hpdist.core.space.space import Space

PAGE = (Path(__file__).parents[2] / "docs" / "testing.rst").read_text()
BLOCKS = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", PAGE)


def executed(block: int) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(textwrap.dedent(BLOCKS[block]), names)
    return names


def test_the_contract_of_the_example_is_one_that_pytest_collects_and_holds() -> None:
    contract = executed(0)["TestMine"]()
    assert contract.suits(Space.of({"x": (0.0, 1.0)}))
    contract.test_it_has_what_the_port_asks_for()
    contract.test_the_description_is_json_and_equal_for_equal_optimizers()


def test_the_simulated_search_finishes(capsys: pytest.CaptureFixture[str]) -> None:
    study = executed(1)["study"]
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"finished after \d+\.\d simulated hours", lines[0])
    planned = study.iter_generator.num_all_configs(4)
    assert lines[1].startswith(f"{planned} evaluations, ")
    assert lines[3] == f"best loss: {study.table.best.outcome.loss}"
