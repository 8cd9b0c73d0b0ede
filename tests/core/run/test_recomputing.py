"""What a journal says was proposed is proposed again, at the place where it stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpdist.core.dispatch.state import DispatchState
from hpdist.core.dispatch.watermarks import QueueSizes
from hpdist.core.journal.memory_journal import MemoryJournal
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import ControlRequested, JobCreated, Record
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.run.loop import Loop
from hpdist.core.run.recompute import known_generator, recompute, study_of
from hpdist.core.study.study import Study
from hpdist.multi_fidelity import (
    Asha,
    Custom,
    Hyperband,
    IterGenerator,
    SingleFidelity,
    SuccessiveHalving,
)
from hpdist.testing.simulate import Faults, SimulatedCluster, SimulatedInbox, crashing

GENERATORS = [
    Hyperband(1, 9),
    Hyperband(1, 16, eta=2, rounding="hpbandster"),
    SuccessiveHalving(1, 9),
    Asha(1, 9),
    SingleFidelity(),
    Custom([5, 2], [1, 4]),
]


def searched(
    generator: IterGenerator, optimizer: str = "random", direction: str = "minimize"
) -> list[Record]:
    """What a search with failures, retries and proposals ahead of demand leaves behind."""
    study = Study(
        {"x": (-1.0, 1.0), "kind": ["a", "b"]},
        generator,
        optimizer,
        limits=Limits(n_trials=12),
        direction=direction,
        seed=5,
        initial_configs=[{"x": 0.5, "kind": "a"}],
        warm_start=[{"config": {"x": 0.1, "kind": "b"}, "budget": 1.0, "loss": 0.3}],
    )
    header = study.describe("r", versions={"hpdist": "0"})
    inbox, journal = SimulatedInbox(), MemoryJournal()
    cluster = SimulatedCluster(
        inbox, crashing(0.4), workers=3, prefetch=1, faults=Faults(doubled=0.1, kill_every_s=30.0)
    )
    for at, command, arguments in (
        (5.0, "retry", {}),
        (10.0, "extend", {"n_trials": 15}),
        (12.0, "retry", {}),
    ):
        event = ControlRequested(command, arguments)
        inbox.after(at, lambda event=event: inbox.post([event]))
    Loop(study, DispatchState(), journal, cluster, inbox, queue_sizes=QueueSizes(0, 4)).run()
    return [header, *(record for _, record in journal.records)]


@pytest.mark.parametrize("optimizer", ["random", "sobol"])
@pytest.mark.parametrize("generator", GENERATORS, ids=repr)
def test_a_search_is_rebuilt_from_its_header_and_proposes_the_same(
    generator: IterGenerator, optimizer: str
) -> None:
    records = searched(generator, optimizer, "maximize" if optimizer == "sobol" else "minimize")
    proposals = [record for record in records if isinstance(record, JobCreated)]
    assert len(proposals) >= 10
    assert recompute(records, study_of(records)) == (len(proposals), None)


@pytest.mark.parametrize("generator", GENERATORS, ids=repr)
def test_a_generator_is_known_by_its_description(generator: IterGenerator) -> None:
    made = known_generator(generator.describe())
    assert made is not None
    assert made.describe() == generator.describe()


def test_a_proposal_that_knew_less_is_another_one() -> None:
    records = searched(Hyperband(1, 9))
    place, job = [pair for pair in enumerate(records) if isinstance(pair[1], JobCreated)][5]
    assert job.trial is not None
    stale = replace(job.trial, config_info=job.trial.config_info | {"as_of": -1})
    records[place] = replace(job, trial=stale)
    same, deviation = recompute(records, study_of(records))
    assert deviation is not None
    assert (same, deviation.number) == (5, place + 1)
    assert deviation.recorded["trial"]["config_info"]["as_of"] == -1
    assert deviation.proposed is not None
    assert deviation.proposed["trial"]["config_info"]["as_of"] >= 0
    assert deviation.versions == {"hpdist": "0"}


def test_a_job_where_nothing_would_be_proposed_is_told() -> None:
    study = Study({"x": (0.0, 1.0)}, limits=Limits(n_trials=1))
    header, job = study.describe("r"), study.propose()
    assert job is not None
    more = replace(job, job=replace(job.job, job_id=1))
    same, deviation = recompute([header, job, more], study_of([header]))
    assert same == 1
    assert deviation is not None
    assert (deviation.number, deviation.proposed) == (3, None)


@pytest.mark.parametrize("records", [[], ["job"]])
def test_a_journal_without_a_header_is_refused(records: list[Record]) -> None:
    with pytest.raises(ConfigurationError, match="cannot be built"):
        study_of(records)
