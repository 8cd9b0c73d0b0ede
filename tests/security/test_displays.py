"""Text of workers, objectives and other people's journals, where hpdist shows it."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from hpdist.cli.main import run as command
from hpdist.cluster.directory import Names, list_workers, register_worker
from hpdist.cluster.nameserver import NameServer
from hpdist.core.journal.format import FORMAT
from hpdist.core.journal.journal import Journal
from hpdist.core.journal.reader import read_journal
from hpdist.core.journal.run_key import find_key
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    JobCreated,
    Record,
    RunCreated,
    RunEnded,
    RunResumed,
    WorkerChanged,
)
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Job, Success, Trial, WorkerInfo
from hpdist.core.results import results as results_module
from hpdist.core.results.forecast import Forecast
from hpdist.core.results.progress_display import LogProgress
from hpdist.core.results.results import Results
from hpdist.core.results.run_state import RunState
from hpdist.multi_fidelity import SingleFidelity

#: A title, a cleared screen, a link, a bell, a return to overwrite, text from right to left.
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b31m\r\b\x00\u202egnp\u2066\x7f"
FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1"]
HTML = "<script>alert(1)</script>"
HOSTILE = f"{ESCAPES}{HTML}[red]markup[/red]"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Somebody else's journal: whatever can be text in it is hostile."""
    path = tmp_path / "mnist"
    path.mkdir()
    info = WorkerInfo("w.1", "abcdef01", host=HOSTILE, pid=1, device=HOSTILE,
                      details={HOSTILE: HOSTILE})  # fmt: skip
    trials = [Trial(n, (0, 0, n), {"x": text, HOSTILE: HOSTILE}) for n, text in
              enumerate([*FORMULAS, HOSTILE])]  # fmt: skip
    records: list[Record] = [
        RunCreated(
            FORMAT, HOSTILE, optimizer={"name": HOSTILE}, iter_generator={"name": HOSTILE},
            objective=HOSTILE, initial_configs=[{HOSTILE: HOSTILE}],
        ),
        RunResumed(1, 1, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}),
        WorkerChanged("joined", info),
    ]  # fmt: skip
    for trial in trials:
        job = Job(trial.trial_id, trial.trial_id, 1.0)
        failure = Failure(FailureKind.EXCEPTION, trial.config["x"] + HOSTILE, HOSTILE)
        outcome = failure if trial.trial_id else Success(-1.5, info=HOSTILE)
        records += [
            JobCreated(job, trial),
            AttemptStarted(job.job_id, 1, "w.1"),
            AttemptEnded(job.job_id, 1, "w.1", outcome, final=True, output=HOSTILE),
        ]
    records.append(RunEnded("failed", HOSTILE))
    journal = Journal.open(path / "journal")
    for record in records:
        journal.append(record, time.time())
    journal.commit()
    journal.close()
    return path


SHOWS = [
    ["status"], ["status", "--json"], ["results"], ["results", "--failures"],
    ["results", "--json"], ["results", "--top", "9"], ["journal", "show"], ["journal", "check"],
    ["resume"], ["control", "stop"],
]  # fmt: skip


@pytest.mark.parametrize("verb", SHOWS, ids=" ".join)
def test_no_command_lets_text_of_others_steer_the_terminal(
    run: Path, verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = verb[:2] if verb[0] == "journal" else verb[:1]
    command([*words, str(run), *verb[len(words) :]])
    said = capsys.readouterr()
    assert said.out or said.err
    for text in (said.out, said.err):
        assert steering(text) == set()


def steering(text: str) -> set[str]:
    return {c for c in text if not (c.isprintable() or c == "\n")}


def test_progress_lets_nothing_through_either(run: Path) -> None:
    stream = io.StringIO()
    records = Results.read(run)
    assert records.run_id == HOSTILE
    progress = LogProgress(run, Forecast(SingleFidelity(num_configs=9)), stream)
    found = read_journal(run / "journal").records
    state = RunState()
    state.update(found[:2])
    progress.start(state)
    for entry in found[2:]:
        state.update([entry])
        progress._write_if_due([entry])
        progress._next = 0.0  # a line each time
    progress.end()
    assert stream.getvalue().count("\n") > 5
    assert steering(stream.getvalue()) == set()


def test_no_cell_of_the_csv_is_a_formula_or_steers_a_terminal(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "found.csv"
    assert command(["results", str(run), "--csv", str(target)]) == 0
    with target.open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 1 + len(FORMULAS) + 1
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if cell[:1] in "=+@\t\r" and cell]
    assert [cell for cell in cells if cell[:1] == "-"] == ["-1.5"]  # a number stays one
    assert {"'=cmd|' /C calc'!A0", "'+1+1", "'-2+3", "'@SUM(1)"} <= set(cells)
    assert steering(target.read_text()) == set()


def test_json_for_people_and_programs_is_ascii(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["results", str(run), "--json"], ["status", str(run), "--json"]):
        assert command(arguments) == 0
        out = capsys.readouterr().out
        assert out.isascii()
        assert json.loads(out)
    assert command(["journal", "show", str(run)]) == 0
    assert capsys.readouterr().out.isascii()


def test_html_is_written_by_nobody_and_a_table_of_pandas_escapes_it(run: Path) -> None:
    html: Any = Results.read(run).to_frame().to_html()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert not hasattr(results_module.Results, "_repr_html_")


def test_what_a_worker_says_of_itself_steers_nobody_who_lists_names(tmp_path: Path) -> None:
    info = WorkerInfo("w", "abcdef01", host=HOSTILE, device=HOSTILE, details={HOSTILE: HOSTILE * 9})
    with NameServer("mnist", tmp_path) as server:
        address = server.start()
        with Names(*address, find_key("mnist", tmp_path / "mnist")) as names:
            register_worker(names, "mnist", info, "PYRO:hpdist@127.0.0.1:1")
            (entry,) = list_workers(names, "mnist").values()
    text = "".join([*entry.metadata, *entry.metadata.values()])
    assert steering(text) == set()
    assert "owned" in text
