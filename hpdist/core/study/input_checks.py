"""Checks of what a study gets from outside: earlier observations, suggestions, results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import RunCreated
from hpdist.core.model.states import FailureKind
from hpdist.core.model.validation import check_kind, short_repr, to_real
from hpdist.core.model.values import Evaluation, Failure, JsonValue, Outcome
from hpdist.core.objective.multi_objective import require
from hpdist.core.objective.returned_value import normalise_result
from hpdist.core.space.space import Space
from hpdist.core.study.trial_table import TrialTable
from hpdist.multi_fidelity import check_budget

FAILED = math.inf
"""The loss that the optimizer gets for a failure."""


def check_observation(observation: object, space: Space, sign: float) -> dict[str, Any]:
    """Return an observation of an earlier run, its loss with the optimizer's sign.

    Parameters
    ----------
    observation
        A mapping with ``config``, ``budget`` and ``loss``, None for a failure.
    sign
        1 where losses are minimized, -1 where they are maximized.
    """
    if not (isinstance(observation, Mapping) and {"config", "budget"} <= observation.keys()):
        raise ConfigurationError(
            "an observation must be a dict with config, budget and loss, got "
            f"{short_repr(observation)}",
            do="warm_start=results.observations(), of an earlier run",
        )
    loss = observation.get("loss")
    number = FAILED if loss is None else to_real(loss)
    if number is None:
        raise ConfigurationError(f"the loss of an observation is {short_repr(loss)}, no number")
    return {
        "config": space.check(observation["config"]),
        "budget": check_budget("the budget of an observation", observation["budget"]),
        "loss": sign * number if math.isfinite(number) else FAILED,
    }


def check_suggestion(
    optimizer: object, suggestions: Any, space: Space
) -> tuple[dict[str, Any], Any]:
    """Return configuration and info of the one suggestion that the optimizer was asked for."""
    try:
        (suggestion,) = suggestions
        return space.check(suggestion.config), dict(suggestion.info)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"{type(optimizer).__name__}.ask suggested {short_repr(suggestions)}",
            cause=str(error),
            do="return a list of one Suggestion(config, info), with a configuration of the space",
        ) from error


def check_open(evaluation: object, table: TrialTable) -> int:
    """Return the job id of an evaluation that ``Study.ask`` gave and that is open."""
    asked: Evaluation = check_kind(
        "evaluation", evaluation, Evaluation, do="evaluation = study.ask()"
    )
    job = asked.job
    if job.job_id not in table.pending:
        raise ConfigurationError(f"job {job.job_id} is not open: its result was reported before")
    if asked.trial != table.trials[job.trial_id]:
        raise ConfigurationError(f"job {job.job_id} is another one in this study")
    return job.job_id


def reported_outcome(
    loss: object, cost: object, info: JsonValue, objectives: Sequence[str]
) -> Outcome:
    """Return the outcome that ``Study.tell`` was called with; ``loss=None`` means a failure."""
    if loss is None:
        return Failure(FailureKind.EXCEPTION, "reported as failed")
    outcome = normalise_result({"loss": loss, "cost": cost, "info": info}, "tell")
    outcome = require(outcome, objectives, "tell")
    if isinstance(outcome, Failure):
        raise ConfigurationError(outcome.message, do="report a failure as loss=None")
    return outcome


def run_header(study: Any, run_id: str, **more: Any) -> RunCreated:
    """Return the first record of the journal of a `Study`."""
    sign = study.table.sign
    return RunCreated(
        format=1,
        run_id=run_id,
        space=study.space.to_json(),
        direction=study.direction,
        seed=study.seed,
        iter_generator=check_described(study.iter_generator),
        optimizer=check_described(study.optimizer),
        initial_configs=list(study.initial_configs),
        warm_start=[
            known | {"loss": None if known["loss"] == FAILED else sign * known["loss"]}
            for known in study.warm_start
        ],
        limits=asdict(study.limits),
        early_stopping=study.early_stopping and check_described(study.early_stopping),
        objectives=list(study.objectives),
        **more,
    )


def check_described(owner: Any) -> dict[str, JsonValue]:
    """Return the ``describe()`` of an optimizer or iteration generator, if JSON keeps it."""
    description = owner.describe()
    try:
        same = json.loads(json.dumps(description, allow_nan=False)) == description
    except (TypeError, ValueError, RecursionError):
        same = False
    if same and isinstance(description, dict):
        return description
    raise ConfigurationError(
        f"{type(owner).__name__}.describe() must return a dict that JSON keeps as it is, "
        f"got {short_repr(description)}",
        cause="it is written to the journal, and compared when the run is resumed",
    )
