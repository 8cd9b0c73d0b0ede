"""The state of a search and the choice of the next job: a pure state machine.

`Study.propose` changes nothing. `Study.apply` is the only method that changes a study; it takes
the records of the journal. A live run and a resumed one call the same code, so after any prefix of
a journal the study proposes exactly the job that the journal holds next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hpdist.core.model.events import (
    AttemptEnded,
    Controlled,
    JobCreated,
    Record,
    ReportReceived,
    RunCreated,
)
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.payload import Payload
from hpdist.core.model.rank_and_cost import loss_sign
from hpdist.core.model.states import Command
from hpdist.core.model.validation import check_choice, check_kind, check_list, check_seed
from hpdist.core.model.values import (
    Configuration,
    Evaluation,
    Failure,
    Job,
    JsonValue,
    Success,
    Trial,
)
from hpdist.core.objective.multi_objective import ONE, check_objectives, losses_of
from hpdist.core.space.space import Space
from hpdist.core.study.brackets import Brackets
from hpdist.core.study.early_stopping import StoppingRule, make_rule
from hpdist.core.study.input_checks import (
    FAILED,
    check_observation,
    check_open,
    check_suggestion,
    reported_outcome,
    run_header,
)
from hpdist.core.study.multi_objective_rank import RungRanking
from hpdist.core.study.trial_table import TrialTable
from hpdist.multi_fidelity import (
    Bracket,
    IterGenerator,
    NewTrial,
    Proposal,
    SingleFidelity,
    check_generator,
)
from hpdist.optimizers import Observation, Optimizer, make_optimizer

DIRECTIONS = ("minimize", "maximize")


class Study:
    """A search: its trials, its brackets, its optimizer, and the outcome of each evaluation.

    Used alone (`ask` and `tell`), or by a loop that keeps a journal.

    Parameters
    ----------
    space
        A ConfigSpace space, or the short form that `hpdist.core.space.space.Space.of` takes.
    iter_generator
        Chooses budgets; default: every configuration once, at budget 1.
    optimizer
        An optimizer built with its space, or a name; default `hpdist.optimizers.GaussianProcess`.
    limits
        When to stop proposing.
    direction
        "minimize" or "maximize". Losses that users pass and see have the user's sign.
    seed
        Trial k draws from ``SeedSequence(seed, spawn_key=(k,))``, so no generator state is saved.
    initial_configs
        Configurations to evaluate before the optimizer is asked.
    warm_start
        Observations of earlier runs, which the optimizer gets first: mappings with ``config``,
        ``budget`` and ``loss`` (None for a failure). Those outside the space are rejected.
    early_stopping
        Which evaluations are stopped early: a rule or its name, see
        `hpdist.core.study.early_stopping`.
    objectives
        "loss", and other keys of the returned dict that are minimized (maximized), too.
    next_iteration
        Called with a bracket's index to make the bracket, in place of the generator's method.

    Raises
    ------
    ConfigurationError
        If one of these is invalid.
    """

    def __init__(  # noqa: PLR0913 - a public signature
        self,
        space: Any,
        iter_generator: IterGenerator | None = None,
        optimizer: Optimizer | str = "auto",
        *,
        limits: Limits | None = None,
        direction: str = "minimize",
        seed: int = 0,
        initial_configs: Sequence[Configuration] = (),
        warm_start: Iterable[Mapping[str, Any]] = (),
        early_stopping: StoppingRule | str | None = None,
        objectives: Sequence[str] = ONE,
        next_iteration: Callable[[int], Bracket] | None = None,
    ) -> None:
        self.direction = check_choice("direction", direction, DIRECTIONS)
        self.space = Space.of(space)
        self.iter_generator: IterGenerator = (
            SingleFidelity() if iter_generator is None else check_generator(iter_generator)
        )
        self.seed = check_seed(seed)
        self.objectives = check_objectives(objectives)
        self.rung_ranking = RungRanking()
        self.optimizer = make_optimizer(optimizer, self.space, self.seed, len(self.objectives))
        self.table = TrialTable(self.seed, loss_sign(self.direction))
        self.limits = Limits(n_iterations=self.iter_generator.default_iterations)
        if limits is not None:
            self.limits = check_kind("limits", limits, Limits, do="limits=Limits(n_trials=100)")
        first = check_list("initial_configs", initial_configs, of="configurations")
        self.initial_configs = [self.space.check(config) for config in first]
        known = check_list("warm_start", warm_start, of="observations")
        self.warm_start = [check_observation(one, self.space, self.table.sign) for one in known]
        self.early_stopping = make_rule(early_stopping)
        self._brackets = Brackets(next_iteration or self.iter_generator.get_next_iteration)
        self.n_results = 0
        self.iteration_kwargs: dict[str, JsonValue] = {}  #: for brackets that are not made yet
        self._sampled: dict[tuple[int, int], int] = {}
        self._retries: list[int] = []
        self._proposal: JobCreated | None = None
        for number, one in enumerate(self.warm_start, start=1):
            self._tell(-number, one["config"], one["budget"], one["loss"])

    @property
    def brackets(self) -> list[Bracket]:
        """The brackets that have a job, in their order."""
        return self._brackets.made

    # ------------------------------------------------------------------ the next job

    def propose(self) -> JobCreated | None:
        """Return the next job, or None while there is none; changes nothing."""
        if self._proposal is None and not self._limit_reached():
            self._proposal = self._retry() or self._next()
        return self._proposal

    def withdraw(self, job_ids: Collection[int], reason: str, at: float) -> None:
        """Do nothing: no job waits here to be created."""

    @property
    def done(self) -> bool:
        """Whether no job is open and none will be proposed."""
        return not self.table.pending and self.propose() is None

    def _limit_reached(self) -> bool:
        if self.table.limit_reached(self.limits):
            return True
        target = self.limits.target_loss
        return target is not None and self.table.reached(target, max(self.iter_generator.budgets))

    def _retry(self) -> JobCreated | None:
        if not self._retries:
            return None
        old = self.table.jobs[self._retries[0]].job
        return JobCreated(replace(old, job_id=len(self.table.jobs), retry_of=old.job_id))

    def _next(self) -> JobCreated | None:
        """Ask the open brackets, oldest first; if all of them wait, open the next one."""
        for index, bracket in self._brackets.open():
            if found := self._job_of(index, bracket):
                return found
        index = len(self.brackets)
        if self._all_trials_made or _at_limit(index, self.limits.n_iterations):
            return None
        return self._job_of(index, self._brackets.next())

    def _job_of(self, index: int, bracket: Bracket) -> JobCreated | None:
        proposal = bracket.propose()
        if proposal is None:
            return None
        if isinstance(proposal, NewTrial):
            return self._new_trial(index, proposal)
        return JobCreated(self._job(proposal.trial_id, index, proposal))

    @property
    def _all_trials_made(self) -> bool:
        return _at_limit(len(self.table.trials), self.limits.n_trials)

    def _new_trial(self, index: int, proposal: NewTrial) -> JobCreated | None:
        trial_id = len(self.table.trials)
        if self._all_trials_made:
            return None
        running_index = self._sampled.get((index, proposal.rung), 0)
        config, info = self._suggest(trial_id, proposal.budget)
        config_id = (index, proposal.rung, running_index)
        trial = Trial(trial_id, config_id, config, info | {"as_of": self.n_results})
        return JobCreated(self._job(trial_id, index, proposal), trial)

    def _suggest(self, trial_id: int, budget: float) -> tuple[dict[str, Any], dict[str, Any]]:
        if trial_id < len(self.initial_configs):
            return self.initial_configs[trial_id], {"origin": "initial"}
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(trial_id,)))
        suggestions = self.optimizer.ask(budget, list(self.table.pending.values()), rng)
        return check_suggestion(self.optimizer, suggestions, self.space)

    def _job(self, trial_id: int, bracket: int, proposal: Proposal) -> Job:
        return Job(len(self.table.jobs), trial_id, proposal.budget, bracket, proposal.rung)

    # ------------------------------------------------------------------ changes

    def apply(self, record: Record) -> None:
        """Apply a record; the same in a live run and on replay.

        Raises
        ------
        StateError
            If the record cannot follow from this state.
        """
        match record:
            case JobCreated():
                self._created(record)
            case AttemptEnded(final=True):
                self._settled(record)
            case ReportReceived():
                self._reported(record)
            case Controlled():
                self._controlled(record)
            case _:
                return
        self._proposal = None

    def _created(self, record: JobCreated) -> None:
        self.table.created(record)
        job = record.job
        if record.trial is not None:
            rung = (job.bracket, job.rung)
            self._sampled[rung] = self._sampled.get(rung, 0) + 1
        if job.retry_of is not None:
            self._retries.remove(job.retry_of)
            return
        self._brackets.started(job)
        self._close_brackets()

    def _close_brackets(self) -> None:
        if self._all_trials_made:
            self._brackets.no_more_trials()

    def _reported(self, record: ReportReceived) -> None:
        if self.early_stopping is not None:
            budget = self.table.jobs[record.job_id].job.budget
            loss = self.table.sign * record.loss
            self.early_stopping.report(record.job_id, record.attempt, budget, record.step, loss)

    def _settled(self, record: AttemptEnded) -> None:
        entry = self.table.settled(record)
        if self.early_stopping is not None:
            self.early_stopping.finished(record.job_id)
        job, outcome = entry.job, record.outcome
        loss = self.table.sign * outcome.loss if isinstance(outcome, Success) else FAILED
        losses = losses_of(outcome, self.objectives, self.table.sign)
        bracket = self._brackets.settled(job)
        if len(self.objectives) == 1 or losses is None:
            bracket.finished(job, loss)
        else:
            self.rung_ranking.finished(bracket, job, losses)
        if isinstance(outcome, Failure) and not outcome.kind.counts:
            return
        self.n_results += 1
        self._tell(job.trial_id, self.table.trials[job.trial_id].config, job.budget, loss, losses)

    def _tell(self, trial_id: int, config: Configuration, *result: Any) -> None:
        self.optimizer.tell(Observation(trial_id, config, *result))

    def _controlled(self, record: Controlled) -> None:
        if record.command == Command.EXTEND:
            self.limits = replace(self.limits, **record.arguments)
            self._close_brackets()
        elif record.command == Command.ITERATION_KWARGS:
            self.iteration_kwargs = record.arguments
            self._brackets.forget_next()
        elif record.command == Command.RETRY:
            self._retries += record.arguments["jobs"]

    # ------------------------------------------------------------------ for the loop

    def describe(self, run_id: str, **more: Any) -> RunCreated:
        """Return the description of this search, which is the first record of its journal."""
        return run_header(self, run_id, **more)

    def payload(self, job_id: int) -> Payload:
        """Return the payload of a job; see `TrialTable.payload`."""
        return self.table.payload(job_id, self.objectives)

    def stops_early(self, job_id: int) -> bool:
        """Whether a running job should be stopped early."""
        return self.early_stopping is not None and self.early_stopping.stops(job_id)

    def retryable(self, job_ids: Sequence[int] | None = None) -> list[int]:
        """Return which of these jobs (None: all) failed and may be evaluated again."""
        return self.table.retryable(job_ids, self._retries)

    # ------------------------------------------------------------------ without a loop

    def ask(self) -> Evaluation | None:
        """Return the next evaluation; None if the result of an open one is needed first."""
        record = self.propose()
        if record is None:
            return None
        self.apply(record)
        trial = self.table.trials[record.job.trial_id]
        return Evaluation(record.job, trial, self.table.trial_seed(trial.trial_id))

    def tell(
        self,
        evaluation: Evaluation,
        loss: float | None,
        *,
        cost: float | None = None,
        info: JsonValue = None,
    ) -> None:
        """Record the result of an evaluation; ``loss=None`` means that it failed.

        Raises
        ------
        ConfigurationError
            If the loss is not finite, or the evaluation is not open.
        """
        job_id = check_open(evaluation, self.table)
        outcome = reported_outcome(loss, cost, info, self.objectives)
        self.apply(AttemptEnded(job_id, 1, "", outcome))


def _at_limit(count: int, limit: int | None) -> bool:
    return limit is not None and count >= limit
