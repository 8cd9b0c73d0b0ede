"""A study and the results of its journal agree on the incumbent, on costs and on reached limits."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hpdist.cli.tables import ranked
from hpdist.core.model.events import AttemptEnded, JobCreated, Record
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Outcome, Success
from hpdist.core.results.results import Results
from hpdist.core.results.run_state import RunState
from hpdist.core.study.study import Study
from hpdist.multi_fidelity import Asha

FULL = 3.0
LOSSES = st.sampled_from([-1.0, 0.0, 0.25, 0.5])  # few, so that there are ties
COSTS = st.sampled_from([None, 0.5, 2.0])
OUTCOMES = st.one_of(
    st.builds(Success, LOSSES, COSTS),
    st.builds(Success, LOSSES, COSTS),
    st.builds(Failure, st.sampled_from(FailureKind), st.just("no")),
)
STEPS = st.lists(st.tuples(st.integers(0, 3), OUTCOMES), max_size=40)


def reached(state: RunState, limits: Limits) -> bool:
    """Whether the limits are reached, by what results show."""
    if limits.max_cost is not None and state.total_cost >= limits.max_cost:
        return True
    best = state.best
    if limits.target_loss is None or best is None or best.budget < FULL:
        return False
    if state.direction == "maximize":
        return best.loss >= limits.target_loss
    return best.loss <= limits.target_loss


class History:
    """A study that is worked off, several jobs at a time, and what results show of it."""

    def __init__(self, direction: str, limits: Limits) -> None:
        self.limits = limits
        self.study = Study({"x": (0.0, 1.0)}, Asha(1, FULL), "random", direction=direction,
            limits=limits)  # fmt: skip
        self.records: list[Record] = []
        self.state = RunState()
        self.record(self.study.describe("r"))

    def record(self, record: Record) -> None:
        self.study.apply(record)
        self.state.apply(0.0, record)
        self.records.append(record)

    def step(self, choice: int, outcome: Outcome) -> None:
        """Create a job, or settle one of the open ones."""
        open_jobs = list(self.study.table.pending)
        proposal = self.study.propose()
        if open_jobs and (choice < 2 or proposal is None):
            job_id = open_jobs[choice % len(open_jobs)]
            self.record(AttemptEnded(job_id, 1, "w", outcome))
        elif isinstance(proposal, JobCreated):
            self.record(proposal)

    def check(self) -> None:
        table, state = self.study.table, self.state
        assert table.total_cost == state.total_cost
        assert (table.best and table.best.job.job_id) == (state.best and state.best.job_id)
        assert (self.study.propose() is None) == reached(state, self.limits)
        for target in (-1.0, 0.0, 0.25, 0.5):
            aim = Limits(target_loss=target)
            assert table.reached(target, FULL) == reached(state, aim)


@settings(max_examples=200, deadline=None)
@given(
    direction=st.sampled_from(["minimize", "maximize"]),
    limits=st.builds(
        Limits,
        max_cost=st.sampled_from([None, 3.0, 20.0]),
        target_loss=st.one_of(st.none(), LOSSES),
    ),
    steps=STEPS,
)
def test_study_and_results_agree_after_each_record(
    direction: str, limits: Limits, steps: list[tuple[int, Outcome]]
) -> None:
    history = History(direction, limits)
    for choice, outcome in steps:
        history.step(choice, outcome)
        history.check()
    results = Results.from_records((0.0, record) for record in history.records)
    best = history.study.table.best
    assert (results.best and results.best.job_id) == (best and best.job.job_id)
    assert [one.job_id for one in ranked(results)[:1]] == ([best.job.job_id] if best else [])
