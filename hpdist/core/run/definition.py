"""The definition of a search, without its executor: the value that `Study`s are made from."""

from __future__ import annotations

import copy
import hashlib
import inspect
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import RunCreated
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.validation import check_seconds, check_seed, short_repr
from hpdist.core.model.values import Configuration
from hpdist.core.objective.multi_objective import ONE, check_objectives
from hpdist.core.objective.objective import FunctionObjective, Objective, function_name
from hpdist.core.results.observations import warm_start_observations
from hpdist.core.run.resume import header_arguments
from hpdist.core.space.space import Space
from hpdist.core.study.early_stopping import StoppingRule
from hpdist.core.study.input_checks import check_described
from hpdist.core.study.study import Study
from hpdist.multi_fidelity import Hyperband, IterGenerator, SingleFidelity, check_generator
from hpdist.multi_fidelity.budgets import check_eta
from hpdist.optimizers import Optimizer, make_optimizer


@dataclass(frozen=True)
class Search:
    """A search, checked when it is made; see `Study` for the other attributes.

    Attributes
    ----------
    objective
        The function to evaluate; None when only the workers know it.
    optimizer
        Each study gets a copy, so that observations of one are not known to the next.
    warm_start
        Observations, as `hpdist.core.results.observations.warm_start_observations` gives them.
    """

    space: Space
    iter_generator: IterGenerator
    optimizer: Optimizer | str = "auto"
    objective: Objective | None = None
    limits: Limits = field(default_factory=Limits)
    direction: str = "minimize"
    seed: int = 0
    initial_configs: Sequence[Configuration] = ()
    warm_start: Sequence[Mapping[str, Any]] = ()
    early_stopping: StoppingRule | str | None = None
    objectives: Sequence[str] = ONE

    def __post_init__(self) -> None:
        num_objectives = len(check_objectives(self.objectives))
        seed = check_seed(self.seed)
        optimizer = make_optimizer(self.optimizer, self.space, seed, num_objectives)
        _check_copied(optimizer)
        # In the form of the journal, so that they can be compared with it.
        checked = self._study("random", self.limits, self.initial_configs, self.warm_start)
        described = checked.describe("")
        check_described(optimizer)
        object.__setattr__(self, "initial_configs", described.initial_configs)
        object.__setattr__(self, "warm_start", described.warm_start)

    def make_study(self, header: RunCreated | None = None) -> Study:
        """Return a new study; given a journal's first record, with the arguments recorded there."""
        optimizer = copy.deepcopy(self.optimizer)
        # With another space the journal is refused later, where both are compared.
        if header is not None and header.space == self.space.to_json():
            return self._study(optimizer, **header_arguments(header))
        return self._study(optimizer, self.limits, self.initial_configs, self.warm_start)

    @property
    def fingerprint(self) -> str:
        """Name of the objective and a hash of its source; "" if it is not known here."""
        return fingerprint(self.objective) if self.objective is not None else ""

    def kept_from(self, header: RunCreated) -> list[str]:
        """Return the names of arguments that a resumed run ignores, since it has started."""
        return [
            name
            for name in ("initial_configs", "warm_start")
            if getattr(self, name) != getattr(header, name)
        ]

    def _study(
        self,
        optimizer: Optimizer | str,
        limits: Limits,
        initial_configs: Sequence[Configuration],
        warm_start: Sequence[Mapping[str, Any]],
    ) -> Study:
        return Study(
            self.space,
            self.iter_generator,
            optimizer,
            limits=limits,
            direction=self.direction,
            seed=self.seed,
            initial_configs=initial_configs,
            warm_start=warm_start,
            early_stopping=copy.deepcopy(self.early_stopping),
            objectives=self.objectives,
        )


def choose_generator(
    iter_generator: IterGenerator | None = None,
    min_budget: float | None = None,
    max_budget: float | None = None,
    eta: float = 3,
) -> IterGenerator:
    """Return the given generator, Hyperband between two budgets, or a single budget of 1.

    Raises
    ------
    ConfigurationError
        If only one budget is given, or budgets beside a generator.
    """
    budgets = {"min_budget": min_budget, "max_budget": max_budget}
    given = [f"{name}={short_repr(value)}" for name, value in budgets.items() if value is not None]
    eta = check_eta(eta)
    if iter_generator is not None:
        check_generator(iter_generator)
        if given:
            raise ConfigurationError(
                f"{', '.join(given)} and iter_generator={iter_generator!r} were both given",
                do="leave the budgets out: the generator knows its own",
            )
        return iter_generator
    if min_budget is None and max_budget is None:
        return SingleFidelity()
    if min_budget is None or max_budget is None:
        raise ConfigurationError(
            f"{given[0]} was given alone", do="give both min_budget and max_budget, or neither"
        )
    return Hyperband(min_budget, max_budget, eta)


def choose_limits(
    iter_generator: IterGenerator, limits: Limits, time_limit: float | None = None
) -> Limits:
    """Return ``limits``, with the generator's own number of iterations if nothing else bounds it.

    A ``target_loss`` is no bound, since it may never be reached, and neither is a number of
    iterations where the first of them never ends.

    Raises
    ------
    ConfigurationError
        If the search could never end, or ``time_limit`` is no number of seconds > 0.
    """
    check_time_limit(time_limit)
    endless = iter_generator.default_iterations is None
    bounds = {name: value for name, value in asdict(limits).items() if name != "target_loss"}
    ends = [name for name in bounds if not (endless and name == "n_iterations")]
    if time_limit is not None or any(bounds[name] is not None for name in ends):
        return limits
    if endless:
        raise ConfigurationError(
            f"{iter_generator!r} never ends by itself, and nothing limits this search",
            do="give one of n_trials, n_evaluations, max_cost or time_limit",
        )
    bounds["n_iterations"] = iter_generator.default_iterations
    return Limits(**bounds, target_loss=limits.target_loss)


def check_time_limit(time_limit: float | None) -> float:
    """Return the seconds after which nothing new is started."""
    if time_limit is None:
        return math.inf
    return check_seconds("time_limit", time_limit, infinite=True, do="time_limit=3600 or None")


def gather_warm_start(sources: Any, direction: str | None = None) -> list[dict[str, Any]]:
    """Return the observations of one source or a sequence of them, in their order.

    Raises
    ------
    ConfigurationError, JournalError
        If a source cannot be read, or had another direction.
    """
    several = sources if isinstance(sources, list | tuple) else [sources]
    return [known for source in several for known in warm_start_observations(source, direction)]


def fingerprint(objective: Objective) -> str:
    """Return ``name#hash``: the hash is that of its source, and empty where that is unknown.

    The result is "" for an objective given by name, which is imported only where it is called.
    """
    if not isinstance(objective, FunctionObjective):
        return ""
    function = objective.function
    source = inspect.unwrap(getattr(function, "func", function))
    try:
        text = textwrap.dedent(inspect.getsource(_with_source(source))).strip()
    except (OSError, TypeError):
        return f"{function_name(function)}#"
    return f"{function_name(function)}#{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _check_copied(optimizer: Optimizer) -> None:
    try:
        copy.deepcopy(optimizer)
    except Exception as error:  # the methods of a foreign object run in here
        raise ConfigurationError(
            f"{short_repr(optimizer)} cannot be copied",
            cause=f"each study gets its own: {type(error).__name__}: {error}",
            do="give it a method __deepcopy__, or remove the part that cannot be copied",
        ) from error


def _with_source(function: Any) -> Any:
    return function if inspect.isroutine(function) else type(function)


def space_of(optimizer: Any, space: Any) -> Space:
    """Return the space of a search: the one that is given, or else the optimizer's own."""
    own = getattr(optimizer, "space", None) if space is None else space
    if own is None and not isinstance(optimizer, str | Optimizer):
        raise ConfigurationError(
            f"{short_repr(optimizer)} is no optimizer", do="RandomSearch(space)"
        )
    if own is None:
        raise ConfigurationError("the optimizer has no attribute space", do="give space=...")
    return Space.of(own)
