"""A replayed journal gives the state the live run had, after each record and from a real file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpdist.core.dispatch.state import DispatchState
from hpdist.core.journal.format import encode, scan
from hpdist.core.journal.journal import Journal
from hpdist.core.journal.reader import read_journal
from hpdist.core.model.events import AttemptEnded, ControlRequested, JobCreated, Record
from hpdist.core.model.limits_and_timing import Limits, Retry
from hpdist.core.model.payload import Payload
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, JsonValue, Outcome, Success
from hpdist.core.results.run_state import RunState
from hpdist.core.run.loop import Loop
from hpdist.core.study.study import Study
from hpdist.multi_fidelity import Asha, Hyperband, IterGenerator, SuccessiveHalving
from hpdist.optimizers import Observation, Pending, Suggestion
from hpdist.testing.simulate import Faults, SimulatedCluster, SimulatedInbox, crashing, quadratic

ROUGH = Faults(delay_s=0.5, lost=0.05, doubled=0.1, kill_every_s=25.0, freeze_every_s=60.0)
RETRY = Retry(max_crashes=2, max_losses=4)
GENERATORS: dict[str, Callable[[], IterGenerator]] = {
    "hyperband": lambda: Hyperband(1, 9),
    "halving": lambda: SuccessiveHalving(1, 9),
    "asha": lambda: Asha(1, 9),
}


class Touchy:
    """An optimizer whose answers depend on all that it was told and asked, to the last bit."""

    def __init__(self) -> None:
        self.told: list[Observation] = []

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        known = sum(seen.loss for seen in self.told if seen.loss < float("inf"))
        known += sum((number + 1) * seen.trial_id for number, seen in enumerate(self.told))
        known += sum(open_one.config["x"] * open_one.budget for open_one in pending)
        return [Suggestion({"x": float(np.sin(known + rng.normal()))}) for _ in range(n)]

    def tell(self, observation: Observation) -> None:
        self.told.append(observation)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "Touchy"}


def make_study(generator: str, seed: int) -> Study:
    limits = Limits(n_iterations=3 if generator != "asha" else None, n_trials=25)
    space = {"x": (-1.0, 1.0)}
    return Study(space, GENERATORS[generator](), Touchy(), limits=limits, seed=seed)


def study_state(study: Study) -> str:
    """All that lasts of a study, as text that is equal only if it is equal."""
    table = study.table
    return repr(
        (
            [vars(entry) for entry in table.jobs],
            table.trials,
            table.pending,
            (table.total_cost, table.best and table.best.job.job_id, table._successes),
            [_inside(bracket) for bracket in study.brackets],
            (study.n_results, study.limits, study._retries, study._sampled),
            study.optimizer.told,
        )
    )


def _inside(thing: Any) -> Any:
    """The fields of an object and of the objects in its lists."""
    fields = dict(vars(thing))
    for name, value in fields.items():
        if isinstance(value, list):
            fields[name] = [_inside(part) if hasattr(part, "__dict__") else part for part in value]
    return fields


def dispatch_state(dispatch: DispatchState) -> str:
    """All that lasts of a book; leases, connections and back-off are of one process only."""
    jobs = {
        job_id: vars(entry) | {"failed": sorted(str(kind) for kind in entry.failed.elements())}
        for job_id, entry in dispatch.jobs.items()
    }
    workers = {name: (worker.info, worker.assigned) for name, worker in dispatch.workers.items()}
    return repr((jobs, workers, list(dispatch.jobs.queue), dispatch.paused))


@dataclass
class Live:
    """What a live run journaled, and how its machines stood after each record."""

    records: list[Record] = field(default_factory=list)
    studies: list[str] = field(default_factory=list)
    books: dict[int, str] = field(default_factory=dict)


class Witness(DispatchState):
    """A dispatch state that notes how it stands after each record."""

    def __init__(self) -> None:
        super().__init__(RETRY)
        self.notes: list[tuple[Record, str]] = []
        self._applied = self._tables.apply
        self._tables.apply = self._note  # what it decides itself is applied there, too

    def _note(self, record: Record) -> None:
        self._applied(record)
        self.notes.append((record, dispatch_state(self)))


class Notes:
    """Passes records on to a journal, noting how the study stands after each."""

    def __init__(self, journal: Journal, study: Study, live: Live) -> None:
        self.journal, self.study, self.live = journal, study, live

    def append(self, record: Record, at: float) -> None:
        self.journal.append(record, at)
        self.live.records.append(record)
        self.live.studies.append(study_state(self.study))

    def commit(self) -> None:
        self.journal.commit()


def raising(share: float, evaluate: Any) -> Any:
    """Let a share of the evaluations fail for good."""

    def perhaps(payload: Payload, rng: np.random.Generator) -> tuple[Outcome, float]:
        if rng.random() < share:
            return Failure(FailureKind.EXCEPTION, "ValueError: no"), float(rng.random())
        return evaluate(payload, rng)

    return perhaps


def rough_run(path: Path, generator: str, seed: int) -> Live:
    """Run with crashes, failures, workers that die, and an operator who meddles."""
    study, dispatch, live = make_study(generator, seed), Witness(), Live()
    inbox = SimulatedInbox()
    evaluate = raising(0.15, crashing(0.15, quadratic))
    cluster = SimulatedCluster(
        inbox, evaluate, workers=3, prefetch=seed % 2, faults=ROUGH, seed=seed
    )
    for at, command, arguments in (
        (6.0, "pause", {}),
        (9.0, "resume", {}),
        (11.0, "cancel", {"jobs": list(range(30))}),
        (20.0, "retry", {}),
        (24.0, "extend", {"n_trials": 30}),
    ):
        event = ControlRequested(command, arguments)
        inbox.after(at, lambda event=event: inbox.post([event]))
    with closing(Journal.open(path)) as journal:
        Loop(study, dispatch, Notes(journal, study, live), cluster, inbox).run()
    live.books = _by_position(live.records, dispatch.notes)
    return live


def _by_position(records: list[Record], notes: list[tuple[Record, str]]) -> dict[int, str]:
    """Tell after which record of the journal each note of the book was made."""
    books, waiting = {}, iter(notes)
    record, state = next(waiting)
    for position, journaled in enumerate(records):
        if journaled is record:
            books[position] = state
            record, state = next(waiting, (None, ""))
    assert record is None, "the journal and the book differ in the order of records"
    return books


CASES = [(name, seed) for name in GENERATORS for seed in range(4)]


@pytest.mark.parametrize(("generator", "seed"), CASES)
def test_after_each_record_a_replay_stands_where_the_live_run_stood(
    tmp_path: Path, generator: str, seed: int
) -> None:
    live = rough_run(tmp_path / "journal", generator, seed)
    study, book = make_study(generator, seed), DispatchState(RETRY)
    decided = 0
    for position, record in enumerate(live.records):
        proposal = study.propose()
        assert study.propose() is proposal
        if isinstance(record, JobCreated):
            assert proposal == record, "another proposal than the log holds next"
            decided += 1
        study.apply(record)
        book.apply(record)
        assert study_state(study) == live.studies[position], "the replayed study differs"
        if position in live.books:
            assert dispatch_state(book) == live.books[position], "the replayed book differs"
    assert decided > 20
    assert study.done


@pytest.mark.parametrize(("generator", "seed"), CASES[::5])
def test_each_prefix_of_the_file_gives_the_state_of_that_moment(
    tmp_path: Path, generator: str, seed: int
) -> None:
    path = tmp_path / "journal"
    live = rough_run(path, generator, seed)
    whole = path.read_bytes()
    assert [record for _, record in read_journal(path).records] == live.records
    for cut in range(0, len(whole), max(1, len(whole) // 60)):
        found = scan(whole[:cut]).records
        study, book = make_study(generator, seed), DispatchState(RETRY)
        for _, record in found:
            study.apply(record)
            book.apply(record)
        if not found:
            continue
        last = len(found) - 1
        assert study_state(study) == live.studies[last]
        assert dispatch_state(book) == live.books.get(last, dispatch_state(book))


def test_the_rough_run_is_rough(tmp_path: Path) -> None:
    """What the tests above rest on: all of it really happens in these runs."""
    happened: set[str] = set()
    for generator, seed in CASES:
        (tmp_path / f"{generator}{seed}").mkdir()
        live = rough_run(tmp_path / f"{generator}{seed}" / "journal", generator, seed)
        for record in live.records:
            happened.add(getattr(record, "command", record.kind))
            if isinstance(record, AttemptEnded) and isinstance(record.outcome, Failure):
                happened.add(f"{record.outcome.kind.value} {record.final}")
            if isinstance(record, JobCreated) and record.job.retry_of is not None:
                happened.add("tried again")
    assert happened >= {
        "pause", "resume", "retry", "extend", "tried again", "exception True", "crash False",
        "crash True", "lost False", "cancelled True", "worker", "ended",
    }  # fmt: skip


def test_a_record_is_written_and_read_to_the_last_bit(tmp_path: Path) -> None:
    live = rough_run(tmp_path / "journal", "hyperband", 1)
    crc, lines = 0, []
    for record in live.records:
        line, crc = encode(record, 0.1 + 0.2, crc)
        lines.append(line)
    read = scan(b"".join(lines)).records
    assert [record for _, record in read] == live.records
    assert {at for at, _ in read} == {0.1 + 0.2}


@pytest.mark.parametrize("losses", [(0.5, 0.5, 0.5), (0.5, 0.25, 0.25), (0.25, 0.5, 0.25)])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_incumbent_does_not_depend_on_the_order_of_results(
    losses: tuple[float, ...], order: tuple[int, ...]
) -> None:
    study, state = Study({"x": (0.0, 1.0)}, limits=Limits(n_trials=3)), RunState()
    records: list[Record] = []
    for _ in losses:
        records.append(study.propose())
        study.apply(records[-1])
    for job_id in order:
        records.append(AttemptEnded(job_id, 1, "w", Success(losses[job_id])))
        study.apply(records[-1])
    for record in records:
        state.apply(0.0, record)
    best = losses.index(min(losses))
    assert study.table.best.job.job_id == state.best.job_id == best, "a tie went by time"
