"""``hpdist journal``: what it says of whole, torn, damaged, foreign and changed journals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cli_scene import BOWL, Commands, records, write

from hpdist.cli.exit_codes import Exit
from hpdist.core.journal.journal import Journal
from hpdist.core.model.events import Controlled, JobCreated, Record, RunCreated

RUN = Path("r")


@pytest.fixture
def finished(hpdist: Commands) -> Path:
    """A run that has finished."""
    write("bowl.py", BOWL)
    said = hpdist("run", "bowl.py", "--executor", "serial", "--run", RUN, "--budget", "1:3")
    assert said.code == 0, said.err
    return RUN


def rewrite(change: Callable[[Record], Record], *more: Record) -> None:
    """Write the journal anew, each record changed."""
    old = records(RUN)
    (RUN / "journal").unlink()
    journal = Journal.open(RUN / "journal")
    for record in (*map(change, old), *more):
        journal.append(record, 7.0)
    journal.close()


def test_a_journal_is_recomputed_and_found_the_same(hpdist: Commands, finished: Path) -> None:
    before = (finished / "journal").read_bytes()
    said = hpdist("journal", "check", finished, "--recompute")
    proposals = [each for each in records(finished) if isinstance(each, JobCreated)]
    assert said.code == Exit.DONE
    assert f"{len(proposals)} proposals computed again, all the same" in said.out
    assert (finished / "journal").read_bytes() == before


def test_an_extended_search_is_recomputed_too(hpdist: Commands, finished: Path) -> None:
    again = ["run", "bowl.py", "--executor", "serial", "--run", RUN, "--budget", "1:3"]
    assert hpdist(*again, "--iterations", 3).code == Exit.DONE
    assert any(isinstance(each, Controlled) for each in records(finished))
    assert hpdist("journal", "check", finished, "--recompute").code == Exit.DONE


def test_the_first_proposal_that_differs_is_told_with_both_and_the_versions(
    hpdist: Commands, finished: Path
) -> None:
    def change(record: Record) -> Record:
        if isinstance(record, RunCreated):
            return replace(record, versions={"hpdist": "0.0.9"})
        if isinstance(record, JobCreated) and record.trial and record.trial.trial_id >= 2:
            trial = replace(record.trial, config=record.trial.config | {"x": 0.123})
            return replace(record, trial=trial)
        return replace(record, versions={}) if record.kind == "resumed" else record

    rewrite(change)
    place = next(
        number
        for number, record in enumerate(records(finished), start=1)
        if isinstance(record, JobCreated) and record.trial and record.trial.trial_id == 2
    )
    assert hpdist("journal", "check", finished).code == Exit.DONE
    said = hpdist("journal", "check", finished, "--recompute")
    assert said.code == Exit.FAILED
    assert f"record {place} of r/journal" in said.err
    recorded, now = (
        next(line for line in said.err.splitlines() if word in line)
        for word in ("recorded: ", "now: ")
    )
    assert '"x": 0.123' in recorded
    assert '"x": 0.123' not in now
    assert '"trial_id": 2' in now
    assert "hpdist 0.0.9" in said.err
    assert "installed is" in said.err


def test_a_record_that_cannot_follow_is_told(hpdist: Commands, finished: Path) -> None:
    rewrite(lambda record: record, Controlled("extend", {"n_iterations": 1}), records(RUN)[-2])
    said = hpdist("journal", "check", finished, "--recompute")
    assert said.code == Exit.FAILED
    assert "settles a job that is not open" in said.err


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"optimizer": {"name": "Mine", "depth": 3}}, 'its optimizer is {"name": "Mine"'),
        ({"optimizer": {"name": "RandomSearch", "depth": 3}}, "not hpdist's own"),
        ({"iter_generator": {"name": "Mine"}}, 'its iteration generator is {"name": "Mine"}'),
        ({"iter_generator": {"name": "Asha", "min_budget": -1}}, "not hpdist's own"),
        ({"iter_generator": None}, "no search proposed them"),
    ],
)
def test_a_search_that_is_not_hpdists_own_is_refused_and_not_judged(
    hpdist: Commands, finished: Path, change: dict[str, object], cause: str
) -> None:
    rewrite(lambda each: replace(each, **change) if isinstance(each, RunCreated) else each)
    said = hpdist("journal", "check", finished, "--recompute")
    assert said.code == Exit.USAGE
    assert "nothing was recomputed" in said.err
    assert cause in said.err
    assert "hpdist.core.run.recompute.recompute" in said.err


def test_brackets_of_the_callers_own_are_refused_and_not_judged(
    hpdist: Commands, finished: Path
) -> None:
    rewrite(lambda record: record, Controlled("iteration_kwargs", {"depth": 3}))
    said = hpdist("journal", "check", finished, "--recompute")
    assert (said.code, "get_next_iteration" in said.err) == (Exit.USAGE, True)


def test_somebody_elses_file_is_left_alone_by_all_verbs(hpdist: Commands) -> None:
    RUN.mkdir()
    for text in (b"my precious notes\n", b"\0" * 30 + b"\x89PNG\r\n"):
        (RUN / "journal").write_bytes(text)
        for verb in ("check", "repair", "show"):
            said = hpdist("journal", verb, RUN)
            assert said.code == Exit.USAGE
            assert "r/journal is no journal" in said.err
            assert "repair" not in said.err
        assert (RUN / "journal").read_bytes() == text
    assert [path.name for path in RUN.iterdir() if path.name != "lock"] == ["journal"]


def test_a_newer_format_is_told_with_the_remedy_and_left_alone(
    hpdist: Commands, finished: Path
) -> None:
    rewrite(lambda each: replace(each, format=99) if isinstance(each, RunCreated) else each)
    before = (finished / "journal").read_bytes()
    for words in (["check"], ["check", "--recompute"], ["repair"], ["show"]):
        said = hpdist("journal", *words, finished)
        assert said.code == Exit.USAGE
        assert "format 99, supported are those up to 1" in said.err
        assert "pip install --upgrade hpdist" in said.err
    assert (finished / "journal").read_bytes() == before


def test_a_torn_tail_is_told_and_repaired_with_a_copy(hpdist: Commands, finished: Path) -> None:
    whole = (finished / "journal").read_bytes()
    (finished / "journal").write_bytes(whole[:-20])
    said = hpdist("journal", "check", finished, "--recompute")
    assert said.code == Exit.DONE
    assert "a record that was not written to its end" in said.out
    said = hpdist("journal", "repair", finished)
    assert (said.code, "bytes cut off" in said.out) == (Exit.DONE, True)
    assert (finished / "journal.damaged-1").read_bytes() == whole[:-20]
    assert whole.startswith((finished / "journal").read_bytes())
