"""Journals that are another's, and searches that are another than the journal's.

All are refused before a byte is changed, and the run goes on afterwards with its own search.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from entry_points import SPACE, bowl, master
from untouched import Tree, snapshot, untouched

import hpdist
from hpdist.core.journal.repair import repair
from hpdist.core.model.errors import (
    ConfigurationError,
    HpdistError,
    JournalDamaged,
    JournalError,
    JournalMismatch,
    JournalVersion,
    NotAJournal,
)
from hpdist.multi_fidelity import Asha, Hyperband, SuccessiveHalving
from hpdist.optimizers import Sobol


def other(config: dict[str, Any], budget: float) -> float:
    return float(-config["x"])


def search(**changes: Any) -> hpdist.Results:
    usual: dict[str, Any] = {"min_budget": 1, "max_budget": 3, "n_iterations": 1, "seed": 4}
    where = {"run": "runs/r", "executor": "serial", "progress": "none"}
    return hpdist.minimize(**{"objective": bowl, "space": SPACE, **usual, **where, **changes})


@pytest.fixture
def run(directory: Path) -> Path:
    search()
    return Path("runs/r")


def frozen(tree: Tree) -> Tree:
    """A tree without the lock, which says who looked at the run last."""
    return {path: content for path, content in tree.items() if Path(path).name != "lock"}


def line(data: dict[str, Any], crc: int = 0) -> bytes:
    payload = json.dumps(data).encode()
    return b"%08x %08x %b\n" % (len(payload), zlib.crc32(payload, crc), payload)


HEADER = {"kind": "run", "format": 1, "run_id": "r", "at": 1.0}

FOREIGN: dict[str, tuple[bytes, type[HpdistError], str]] = {
    "text": (b"Dear diary,\n", NotAJournal, "is no journal of hpdist"),
    "json": (b'{"another": "program"}\n' * 9, NotAJournal, "is no journal of hpdist"),
    "sqlite": (b"SQLite format 3\0" + bytes(999), NotAJournal, "is no journal of hpdist"),
    "pickle": (b"\x80\x04\x95\x10cbuiltins\nexec\n", NotAJournal, "is no journal of hpdist"),
    "an empty line": (b"\n", NotAJournal, "is no journal of hpdist"),
    "a newer format": (line({**HEADER, "format": 99}), JournalVersion, "format 99"),
    "an unknown record": (line({"kind": "magic", "at": 1.0}), JournalDamaged, "no known record"),
    "no header": (
        line({"kind": "ended", "reason": "stopped", "at": 1.0}),
        JournalMismatch,
        "header",
    ),
    "a header without a space": (line(HEADER), JournalMismatch, "space"),
    "limits of nonsense": (
        line({**HEADER, "limits": {"n_moons": 3}}),
        JournalError,
        "n_moons|space",
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_the_file_of_another_program_is_refused_and_left_as_it_is(
    directory: Path, what: str
) -> None:
    data, kind, said = FOREIGN[what]
    Path("runs/r").mkdir(parents=True)
    Path("runs/r/journal").write_bytes(data)
    with untouched(directory), pytest.raises(kind, match=said):
        search()
    with untouched(directory), pytest.raises(kind, match=said):
        master(iter_generator=Hyperband(1, 3))
    if kind is not JournalMismatch and what != "limits of nonsense":
        with untouched(directory), pytest.raises(kind, match=said):
            hpdist.Results.read("runs/r")
        with untouched(directory), pytest.raises(kind, match=said):
            search(run="runs/new", warm_start="runs/r")


def test_the_file_of_another_program_is_not_repaired_away(directory: Path) -> None:
    path = Path("journal")
    path.write_bytes(b'{"another": "program"}\n')
    before = path.read_bytes()
    with pytest.raises(NotAJournal):
        repair(path)
    assert path.read_bytes() == before


SPACES: dict[str, Any] = {
    "added": {**SPACE, "z": (0, 1)},
    "removed": {"x": (-1.0, 1.0)},
    "renamed": {"y": (-1.0, 1.0), "k": [1, 2]},
    "bounds": {**SPACE, "x": (-1.0, 2.0)},
    "type": {**SPACE, "x": (-1, 1)},
    "log": {**SPACE, "x": hpdist.Float(0.1, 1.0, log=True)},
    "choices": {**SPACE, "k": [1, 2, 3]},
    "order": {**SPACE, "k": hpdist.Ordinal([1, 2])},
    "weights": {**SPACE, "k": hpdist.Categorical([1, 2], weights=[1, 3])},
    "default": {**SPACE, "k": hpdist.Categorical([1, 2], default=2)},
}

#: What may change with ``on_change="continue"``, and what may never.
CHANGES: dict[str, tuple[dict[str, Any], bool]] = {
    **{f"space: {name}": ({"space": space}, False) for name, space in SPACES.items()},
    "seed": ({"seed": 5}, True),
    "optimizer": ({"optimizer": "sobol"}, True),
    "its seed": ({"optimizer": Sobol(hpdist.Space.of(SPACE), seed=3)}, True),
    "objective": ({"objective": other}, True),
    "budgets": ({"max_budget": 9}, True),
    "eta": ({"eta": 2}, True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_search_is_refused_shown_and_harmless(
    directory: Path, run: Path, change: str
) -> None:
    arguments, _ = CHANGES[change]
    before = len(hpdist.Results.read(run).evaluations)
    with untouched(directory), pytest.raises(JournalMismatch) as caught:
        search(**arguments)
    name = change.partition(":")[0].split()[-1]
    assert "in the journal" in str(caught.value), caught.value
    assert name in str(caught.value) or name in ("budgets", "eta", "seed")
    assert "do:" in str(caught.value)
    more = search(n_iterations=2)
    assert len(more.evaluations) > before
    assert more.reason == "finished"


@pytest.mark.parametrize("change", [name for name, (_, may) in CHANGES.items() if not may])
def test_what_results_mean_is_never_changed(directory: Path, run: Path, change: str) -> None:
    with untouched(directory), pytest.raises(JournalMismatch):
        search(**CHANGES[change][0], on_change="continue")


@pytest.mark.parametrize(
    "change", [name for name, (_, may) in CHANGES.items() if may and name not in ("budgets", "eta")]
)
def test_what_may_change_does_when_it_is_asked_for(run: Path, change: str) -> None:
    before = len(hpdist.Results.read(run).evaluations)
    found = search(**CHANGES[change][0], on_change="continue", n_iterations=2)
    assert len(found.evaluations) > before
    assert found.reason == "finished"


def test_the_other_direction_is_refused(directory: Path, run: Path) -> None:
    with untouched(directory), pytest.raises(JournalMismatch, match="direction"):
        hpdist.maximize(
            bowl, SPACE, min_budget=1, max_budget=3, seed=4, run=run, executor="serial",
            progress="none", on_change="continue",
        )  # fmt: skip
    with untouched(directory), pytest.raises(ConfigurationError, match="cannot start from"):
        hpdist.maximize(bowl, SPACE, n_trials=1, warm_start=run, run="new", progress="none")


@pytest.mark.parametrize(
    "generator", [Asha(1, 3), Hyperband(1, 9), SuccessiveHalving(1, 3), hpdist.Study(SPACE)]
)
def test_a_generator_that_would_have_done_otherwise_is_refused(
    directory: Path, run: Path, generator: Any
) -> None:
    generator = getattr(generator, "iter_generator", generator)
    options = {"min_budget": None, "max_budget": None, "iter_generator": generator, "n_trials": 9}
    before = frozen(snapshot(directory))
    with pytest.raises(JournalMismatch):
        search(**options)
    assert frozen(snapshot(directory)) == before
    try:
        search(**options, on_change="continue", n_evaluations=12)
    except JournalMismatch:
        assert frozen(snapshot(directory)) == before
        assert search(n_iterations=3).reason == "finished"


def test_a_run_of_the_same_name_in_another_place_is_another_run(directory: Path, run: Path) -> None:
    shutil.copytree(run, "copied")
    assert len(search(run="copied").evaluations) == len(hpdist.Results.read(run).evaluations)


def _cut(data: bytes) -> bytes:
    return data[:-7]


def _flipped(data: bytes) -> bytes:
    middle = data.index(b"\n", len(data) // 2) - 9
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("harm", "wrong", "kind"),
    [
        (_cut, {"seed": 5}, JournalMismatch),
        (_cut, {"resume": "never"}, ConfigurationError),
        (_cut, {"n_trials": -1}, ConfigurationError),
        (_flipped, {"seed": 5}, JournalMismatch),
        (_flipped, {}, JournalDamaged),
        (_flipped, {"workers": -1}, ConfigurationError),
    ],
)
def test_a_torn_or_damaged_journal_is_not_touched_by_a_wrong_call(
    directory: Path,
    run: Path,
    harm: Callable[[bytes], bytes],
    wrong: dict[str, Any],
    kind: type[HpdistError],
) -> None:
    journal = run / "journal"
    journal.write_bytes(harm(journal.read_bytes()))
    before = frozen(snapshot(directory))
    with pytest.raises(kind):
        search(**wrong)
    assert frozen(snapshot(directory)) == before


def test_bracket_arguments_that_make_no_bracket_are_refused_before_the_journal_has_them(
    directory: Path,
) -> None:
    with master(iter_generator=Hyperband(1, 3)) as one:
        before = frozen(snapshot(directory))
        with pytest.raises(ConfigurationError, match="takes no iteration_kwargs"):
            one.run(1, iteration_kwargs={"colour": "red"})
        assert frozen(snapshot(directory)) == before


@pytest.mark.parametrize("warm", [{"y": (0.0, 1.0)}, {"x": (5.0, 6.0), "k": [1, 2]}])
def test_a_warm_start_of_another_space_is_refused(directory: Path, warm: Any) -> None:
    hpdist.minimize(
        lambda config: 1.0, warm, n_trials=1, run="other", executor="serial", progress="none"
    )
    with untouched(directory), pytest.raises(ConfigurationError):
        search(warm_start="other")
