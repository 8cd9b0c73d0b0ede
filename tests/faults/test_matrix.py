"""The short form of the fault matrix; and whoever reads its table can rely on it."""

from __future__ import annotations

import pytest
from matrix import Row, collect, play

ROWS = collect()


@pytest.mark.parametrize("row", [row for row in ROWS if not row.long], ids=lambda row: row.name)
def test_a_fault_comes_to_what_is_expected(row: Row) -> None:
    trial = play(row, seed=0)
    assert trial.error == "", trial.error
