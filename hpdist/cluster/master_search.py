"""The search of a master: its study, made from options, and its journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpdist.core.model.events import RunCreated
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.run.definition import gather_warm_start
from hpdist.core.run.options import RunOptions
from hpdist.core.run.resume import Opening, OpenRun, header_arguments, open_run, unpause
from hpdist.core.space.space import Space
from hpdist.core.study.study import Study
from hpdist.multi_fidelity import Bracket, IterGenerator
from hpdist.optimizers import Optimizer


@dataclass(frozen=True)
class MasterSearch:
    """A search whose brackets a master makes.

    Attributes
    ----------
    make_bracket
        Called with a bracket's number and the arguments of `Master.run` for it.
    """

    options: RunOptions
    space: Space
    optimizer: Optimizer
    iter_generator: IterGenerator
    make_bracket: Callable[[int, dict[str, Any]], Bracket]

    def open(self, journal: Path, run_id: str, objective: str, sync_every: int) -> OpenRun:
        """Open the run in a journal; a paused run is resumed.

        Raises
        ------
        JournalError
            As `hpdist.core.run.resume.open_run`.
        """
        opening = Opening.of(self.options, run_id, objective, sync_every)
        run = open_run(journal, self._make_study, opening)
        unpause(run, time.time())
        return run

    def _make_study(self, header: RunCreated | None) -> Study:
        wanted = self.options.search
        given = self._first_arguments() if header is None else header_arguments(header)
        study = Study(
            self.space,
            self.iter_generator,
            self.optimizer,
            next_iteration=lambda index: self.make_bracket(index, study.iteration_kwargs),
            direction=wanted.direction,
            seed=wanted.seed,
            early_stopping=wanted.early_stopping,
            objectives=wanted.objectives,
            **given,
        )
        return study

    def _first_arguments(self) -> dict[str, Any]:
        """Return the arguments of a new run's study, which are kept in its journal."""
        wanted = self.options.search
        sources = () if wanted.warm_start is None else wanted.warm_start
        return {
            "limits": Limits(n_iterations=0),  # each call of `Master.run` extends them
            "warm_start": gather_warm_start(sources, wanted.direction),
            "initial_configs": wanted.initial_configs,
        }
