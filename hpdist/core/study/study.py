"""What is known in a search and what to evaluate next: a pure state machine.

`Study.propose` looks and changes nothing; `Study.apply` is the only method that changes a study,
and takes the records that the journal keeps. A live run and a resumed one call the same code, so
after any prefix of a journal the study proposes exactly what the journal holds next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import (
    AttemptEnded,
    Controlled,
    JobCreated,
    Record,
    ReportReceived,
    RunCreated,
)
from hpdist.core.model.validation import check_choice, check_kind, check_list, check_seed
from hpdist.core.model.values import (
    Configuration,
    Evaluation,
    Failure,
    Job,
    JsonValue,
    Limits,
    Success,
    Trial,
)
from hpdist.core.objective.multi_objective import ONE, check_objectives, losses_of, payload_part
from hpdist.core.space.space import Space
from hpdist.core.study.early_stopping import StoppingRule, make_rule
from hpdist.core.study.input_checks import (
    FAILED,
    described,
    known_observation,
    suggested,
    told_outcome,
)
from hpdist.core.study.rung_ranking import Standings
from hpdist.core.study.trials import Ledger
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
    """A search: its trials, its brackets, its optimizer, and what came of each evaluation.

    Works alone (`ask` and `tell`), or behind a loop that keeps a journal.

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
        "minimize" or "maximize". Losses given and shown have the user's sign.
    seed
        Trial k draws from ``SeedSequence(seed, spawn_key=(k,))``, so no generator has a state.
    initial_configs
        Configurations to evaluate before the optimizer is asked.
    warm_start
        Observations of earlier runs, told to the optimizer first: mappings with ``config``,
        ``budget`` and ``loss`` (None for a failure). Those outside the space are refused.
    early_stopping
        Which evaluations end early: a rule or its name, see `hpdist.core.study.early_stopping`.
    objectives
        "loss", and other keys of what the objective returns that are to be small (large), too.
    next_iteration
        Called with an iteration's index to make its bracket, in place of the generator's method.

    Raises
    ------
    ConfigurationError
        If any of these cannot work.
    """

    def __init__(
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
        self.standings = Standings()
        self.optimizer = make_optimizer(optimizer, self.space, self.seed, len(self.objectives))
        self.ledger = Ledger(self.seed, 1.0 if direction == "minimize" else -1.0)
        self.limits = Limits(n_iterations=self.iter_generator.default_iterations)
        if limits is not None:
            self.limits = check_kind("limits", limits, Limits, do="limits=Limits(n_trials=100)")
        first = check_list("initial_configs", initial_configs, of="configurations")
        self.initial_configs = [self.space.check(config) for config in first]
        known = check_list("warm_start", warm_start, of="observations")
        self.warm_start = [known_observation(one, self.space, self.ledger.sign) for one in known]
        self.early_stopping = make_rule(early_stopping)
        self.brackets: list[Bracket] = []
        self.n_results = 0
        self._new_bracket = next_iteration or self.iter_generator.get_next_iteration
        self.iteration_kwargs: dict[str, JsonValue] = {}  #: for brackets that are yet to be made
        self._sampled: dict[tuple[int, int], int] = {}
        self._first_open = 0  #: no bracket before this one is open
        self._retries: list[int] = []
        self._peeked: Bracket | None = None
        self._proposal: JobCreated | None = None
        for number, one in enumerate(self.warm_start, start=1):
            self._tell(-number, one["config"], one["budget"], one["loss"])

    # ------------------------------------------------------------------ what next?

    def propose(self) -> JobCreated | None:
        """Return the next evaluation, or None while there is none; changes nothing."""
        if self._proposal is None and not self._limit_reached():
            self._proposal = self._retry() or self._next()
        return self._proposal

    @property
    def done(self) -> bool:
        """Whether nothing is open and nothing will be proposed."""
        return not self.ledger.pending and self.propose() is None

    def _limit_reached(self) -> bool:
        limits, ledger = self.limits, self.ledger
        if len(ledger.jobs) >= _or_inf(limits.n_evaluations):
            return True
        if ledger.total_cost >= _or_inf(limits.max_cost):
            return True
        full = max(self.iter_generator.budgets)
        return limits.target_loss is not None and ledger.reached(limits.target_loss, full)

    def _retry(self) -> JobCreated | None:
        if not self._retries:
            return None
        old = self.ledger.jobs[self._retries[0]].job
        return JobCreated(replace(old, job_id=len(self.ledger.jobs), retry_of=old.job_id))

    def _next(self) -> JobCreated | None:
        """Ask the open brackets, oldest first; one that waits lets the next one open."""
        for index in range(self._first_open, len(self.brackets)):
            bracket = self.brackets[index]
            if not bracket.is_finished and (found := self._from(index, bracket)):
                return found
        index = len(self.brackets)
        if self._all_trials_made or index >= _or_inf(self.limits.n_iterations):
            return None
        if self._peeked is None:
            self._peeked = self._new_bracket(index)
        return self._from(index, self._peeked)

    def _from(self, index: int, bracket: Bracket) -> JobCreated | None:
        proposal = bracket.propose()
        if proposal is None:
            return None
        if isinstance(proposal, NewTrial):
            return self._new_trial(index, proposal)
        return JobCreated(self._job(proposal.trial_id, index, proposal))

    @property
    def _all_trials_made(self) -> bool:
        return len(self.ledger.trials) >= _or_inf(self.limits.n_trials)

    def _new_trial(self, index: int, proposal: NewTrial) -> JobCreated | None:
        trial_id = len(self.ledger.trials)
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
        suggestions = self.optimizer.ask(budget, list(self.ledger.pending.values()), rng)
        return suggested(self.optimizer, suggestions, self.space)

    def _job(self, trial_id: int, bracket: int, proposal: Proposal) -> Job:
        return Job(len(self.ledger.jobs), trial_id, proposal.budget, bracket, proposal.rung)

    # ------------------------------------------------------------------ what is so

    def apply(self, record: Record) -> None:
        """Change the study by a record, live and on replay alike.

        Raises
        ------
        StateError
            If the record cannot follow from this state.
        """
        if isinstance(record, JobCreated):
            self._created(record)
        elif isinstance(record, AttemptEnded) and record.final:
            self._settled(record)
        elif isinstance(record, ReportReceived):
            self._reported(record)
        elif isinstance(record, Controlled):
            self._controlled(record)
        else:
            return
        self._proposal = None
        places = range(self._first_open, len(self.brackets))
        still_open = (place for place in places if not self.brackets[place].is_finished)
        self._first_open = next(still_open, len(self.brackets))

    def _created(self, record: JobCreated) -> None:
        self.ledger.created(record)
        job = record.job
        if record.trial is not None:
            place = (job.bracket, job.rung)
            self._sampled[place] = self._sampled.get(place, 0) + 1
        if job.retry_of is not None:
            self._retries.remove(job.retry_of)
            return
        if job.bracket == len(self.brackets):
            self.brackets.append(self._peeked or self._new_bracket(job.bracket))
            self._peeked = None
        self.brackets[job.bracket].started(job)
        self._close_brackets()

    def _close_brackets(self) -> None:
        """Let no bracket wait for trials that will not be made."""
        if self._all_trials_made:
            for bracket in self.brackets:
                if isinstance(bracket.propose(), NewTrial):
                    bracket.no_more_trials()

    def _reported(self, record: ReportReceived) -> None:
        if self.early_stopping is not None:
            budget = self.ledger.jobs[record.job_id].job.budget
            at = record.job_id, record.attempt, budget, record.step
            self.early_stopping.report(*at, self.ledger.sign * record.loss)

    def _settled(self, record: AttemptEnded) -> None:
        entry = self.ledger.settled(record)
        if self.early_stopping is not None:
            self.early_stopping.finished(record.job_id)
        job, outcome = entry.job, record.outcome
        loss = self.ledger.sign * outcome.loss if isinstance(outcome, Success) else FAILED
        losses = losses_of(outcome, self.objectives, self.ledger.sign)
        bracket = self.brackets[job.bracket]
        self._first_open = min(self._first_open, job.bracket)  # a retry may open it again
        if len(self.objectives) == 1 or losses is None:
            bracket.finished(job, loss)
        else:
            self.standings.tell(bracket, job, losses)
        if isinstance(outcome, Failure) and not outcome.kind.counts:
            return
        self.n_results += 1
        self._tell(job.trial_id, self.ledger.trials[job.trial_id].config, job.budget, loss, losses)

    def _tell(self, trial_id: int, config: Configuration, *result: Any) -> None:
        self.optimizer.tell(Observation(trial_id, config, *result))

    def _controlled(self, record: Controlled) -> None:
        if record.command == "extend":
            self.limits = replace(self.limits, **record.arguments)
            self._close_brackets()
        elif record.command == "iteration_kwargs":
            self.iteration_kwargs, self._peeked = record.arguments, None
        elif record.command == "retry":
            self._retries += record.arguments["jobs"]

    # ------------------------------------------------------------------ for others

    def describe(self, run_id: str, **more: Any) -> RunCreated:
        """Say what this search is: the first record of its journal."""
        return described(self, run_id, **more)

    def payload(self, job_id: int) -> dict[str, JsonValue]:
        """What a worker is told of a job; see `Ledger.payload`."""
        return self.ledger.payload(job_id) | payload_part(self.objectives)

    def stops_early(self, job_id: int) -> bool:
        """Whether a running job should end early."""
        return self.early_stopping is not None and self.early_stopping.stops(job_id)

    def retryable(self, job_ids: Sequence[int] | None = None) -> list[int]:
        """Which of these jobs (None: all) failed, and may be evaluated again."""
        return self.ledger.retryable(job_ids, self._retries)

    # ------------------------------------------------------------------ alone: ask and tell

    def ask(self) -> Evaluation | None:
        """Take the next evaluation; None while there is nothing to do until a `tell`."""
        record = self.propose()
        if record is None:
            return None
        self.apply(record)
        trial = self.ledger.trials[record.job.trial_id]
        return Evaluation(record.job, trial, self.ledger.trial_seed(trial.trial_id))

    def tell(
        self,
        evaluation: Evaluation,
        loss: float | None,
        *,
        cost: float | None = None,
        info: JsonValue = None,
    ) -> None:
        """Say what came of an evaluation; ``loss=None`` says that it failed.

        Raises
        ------
        ConfigurationError
            If the loss is not finite, or the evaluation is not open.
        """
        check_kind("evaluation", evaluation, Evaluation, do="evaluation = study.ask()")
        job_id = evaluation.job.job_id
        if job_id not in self.ledger.pending:
            raise ConfigurationError(f"job {job_id} is not open: it was told before")
        if evaluation.trial != self.ledger.trials[evaluation.job.trial_id]:
            raise ConfigurationError(f"job {job_id} is another one in this study")
        outcome = told_outcome(loss, cost, info, self.objectives)
        self.apply(AttemptEnded(job_id, 1, "", outcome))


def _or_inf(limit: float | None) -> float:
    return math.inf if limit is None else limit
