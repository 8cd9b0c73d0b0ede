"""The master: runs an optimizer and an iteration generator on the workers that connect."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpdist.cluster.dispatcher import Dispatcher
from hpdist.cluster.master_search import MasterSearch
from hpdist.cluster.option_checks import check_iteration_kwargs, check_master, run_name
from hpdist.cluster.result_views import ResultViews
from hpdist.cluster.run_end_events import RunEndEvents
from hpdist.core.dispatch.executor import Executor
from hpdist.core.dispatch.watermarks import QueueSizes
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.errors import StateError
from hpdist.core.model.events import ControlRequested, Record, RunEnded
from hpdist.core.model.limits_and_timing import Retry, Timing
from hpdist.core.model.rank_and_cost import loss_sign
from hpdist.core.model.states import Command, EndReason
from hpdist.core.model.validation import check_seed, check_whole
from hpdist.core.results.results import Results
from hpdist.core.run.definition import space_of
from hpdist.core.run.finished_jobs import FinishedJob, JobStream
from hpdist.core.run.options import (
    ListeningOptions,
    RunPolicy,
    SearchOptions,
    TimeLimits,
    changed,
)
from hpdist.core.study.early_stopping import StoppingRule
from hpdist.core.study.study import Study
from hpdist.multi_fidelity import Bracket, IterGenerator, check_generator
from hpdist.optimizers import Optimizer, make_optimizer


class Master:
    """Runs an optimizer and an iteration generator on the workers of a run.

    All that happens is in the journal ``<working_directory>/<run_id>/journal`` before it has an
    effect, so the journal is the checkpoint: a master that is made again with the same arguments
    goes on where the former one was killed, and workers report evaluations that still run to it.

    Parameters
    ----------
    run_id
        Name of the run.
    optimizer
        Chooses configurations; built with its space, such as ``RandomSearch(space)``.
    iter_generator
        Chooses budgets.
    progress_callback, result_logger
        As for `ResultViews`.
    checkpoint_file
        File of the journal; default that of the run directory.
    checkpoint_freq
        Number of results that are made durable together; at most so many are lost if the
        machine fails.
    working_directory
        Where ``<run_id>/`` is.
    ping_interval
        Seconds between two reviews of the nameserver's entries.
    time_left_for_this_task, grace
        Seconds from the start of `run` until nothing new starts; seconds for running jobs then.
    nameserver, nameserver_port, host
        As for `Dispatcher`.
    shutdown_workers
        Whether workers are shut down at `shutdown` and when the time limit is reached.
    job_queue_sizes, dynamic_queue_size
        When to choose further configurations; see `QueueSizes`.
    previous_result
        Earlier runs to learn from: a path, `Results` or DataFrame, or a list of these.
    incumbents, incumbent_performances
        Best configuration and its loss by budget, to start with; kept up to date.
    space
        Only needed if the optimizer has no attribute ``space``.
    seed, direction, initial_configs, early_stopping, objectives
        As for `Study`.
    n_trials, n_evaluations, max_cost, target_loss
        Limits of the whole run, see `hpdist.Limits`; a run that is resumed keeps those it has.
    worker_timeout
        Seconds to wait for workers; default: no limit, with a diagnosis every half minute.
    timing, retry
        When a silent worker is given up, see `hpdist.Timing`; how often an evaluation is tried,
        see `hpdist.Retry`.
    nic_name, port, executor
        As for `Dispatcher`.
    resume, on_change
        As for `hpdist.minimize`.

    Raises
    ------
    JournalMismatch
        If the journal holds another search.
    """

    def __init__(  # noqa: PLR0913 - a public signature
        self,
        run_id: str,
        optimizer: Optimizer,
        iter_generator: IterGenerator,
        progress_callback: Any = None,
        checkpoint_file: str | Path | None = None,
        checkpoint_freq: int = 1,
        working_directory: str | Path = ".",
        ping_interval: float = 60,
        time_left_for_this_task: float = math.inf,
        nameserver: str | None = "127.0.0.1",
        nameserver_port: int | None = None,
        host: str | None = None,
        shutdown_workers: bool = True,
        job_queue_sizes: tuple[int, int] = (-1, 0),
        dynamic_queue_size: bool = True,
        result_logger: Any = None,
        previous_result: Any = None,
        incumbents: dict[float, dict[str, Any]] | None = None,
        incumbent_performances: dict[float, float] | None = None,
        *,
        space: Any = None,
        seed: int = SearchOptions.seed,
        direction: str = SearchOptions.direction,
        initial_configs: Sequence[Mapping[str, Any]] = SearchOptions.initial_configs,
        early_stopping: StoppingRule | str | None = None,
        objectives: Sequence[str] = SearchOptions.objectives,
        n_trials: int | None = None,
        n_evaluations: int | None = None,
        max_cost: float | None = None,
        target_loss: float | None = None,
        worker_timeout: float = math.inf,
        grace: float = TimeLimits.grace,
        timing: Timing | None = None,
        retry: Retry | None = None,
        nic_name: str | None = None,
        port: int = ListeningOptions.port,
        executor: Executor | None = None,
        logger: logging.Logger | None = None,
        objective: str = "",
        resume: str = RunPolicy.resume,
        on_change: str = RunPolicy.on_change,
        observers: Sequence[Any] = (),
        **unknown: Any,
    ) -> None:
        self.run_id = run_name(run_id)
        self._options = check_master(locals())
        self._space = space_of(optimizer, space)
        self.optimizer = make_optimizer(optimizer, self._space, check_seed(seed), len(objectives))
        self.iter_generator = check_generator(iter_generator)
        self.views = ResultViews(
            loss_sign(direction),
            incumbents,
            incumbent_performances,
            result_logger,
            progress_callback,
        )
        self.incumbents = self.views.incumbents
        self.incumbent_performances = self.views.performances
        self.shutdown_workers = shutdown_workers
        self.worker_timeout = worker_timeout
        self.time_left_for_this_task = time_left_for_this_task
        self.queue_sizes = QueueSizes.of(job_queue_sizes, dynamic_queue_size)
        self.logger = logger or logging.getLogger(__name__)
        self.directory = RunDirectory(Path(working_directory) / self.run_id)
        self._ends = RunEndEvents()
        journal = Path(checkpoint_file) if checkpoint_file else self.directory.journal
        self._search = MasterSearch(
            self._options, self._space, self.optimizer, self.iter_generator, self._bracket
        )
        self._run = self._search.open(journal, self.run_id, objective, checkpoint_freq)
        self.directory.create()
        self._iterations_before = self._run.state.finished_iterations
        self.views.resumed(self._run.state)
        self._stream = JobStream(self._run.state, self.views.new_trial, self.job_callback)
        self.dispatcher = Dispatcher(
            lambda job: None,
            self.run_id,
            ping_interval,
            nameserver,
            nameserver_port,
            host,
            working_directory=working_directory,
            work=self._run.work,
            instance=self._run.instance,
            observers=[self._run.state.update, self._observe, *observers],
            number_of=self._stream.number_of,
            waiting=True,
            shut_down_workers=shutdown_workers,
            queue_sizes=self.queue_sizes,
            grace_s=grace,
            nic_name=nic_name,
            port=port,
            timing=timing,
            executor=executor,
        )
        self._thread = threading.Thread(target=self._serve, name="hpdist-dispatcher", daemon=True)

    @property
    def study(self) -> Study:
        """The study; only to be read while the run goes on."""
        return self._run.study

    # ------------------------------------------------------------------ running

    def run(
        self,
        n_iterations: int = 1,
        min_n_workers: int = 1,
        iteration_kwargs: dict[str, Any] | None = None,
    ) -> Results:
        """Run ``n_iterations`` iterations and return all results.

        After a resume, those that the journal holds of an interrupted call count; each further
        call adds its own.

        Raises
        ------
        NoWorkers
            If fewer than ``min_n_workers`` connected within ``worker_timeout`` seconds.
        HpdistError
            If the dispatcher failed.
        """
        n_iterations = check_whole("n_iterations", n_iterations, minimum=0)
        kwargs = check_iteration_kwargs(self, iteration_kwargs)
        self.wait_for_workers(min_n_workers)
        target = self._iterations_before + n_iterations
        if math.isfinite(self.time_left_for_this_task):
            limit = {"seconds": self.time_left_for_this_task}
            self.dispatcher.post(ControlRequested(Command.TIME_LIMIT, limit))
        endless = self.iter_generator.default_iterations is None
        planned = 0 if endless else self.iter_generator.num_all_configs(target)
        with self.views.show_progress(len(self._run.study.table.jobs), planned):
            if kwargs:
                self.dispatcher.post(ControlRequested(Command.ITERATION_KWARGS, kwargs))
            self._ends.clear()
            limits = {"n_iterations": target, **changed(self._options.limits)}
            self.dispatcher.post(ControlRequested(Command.EXTEND, limits))
            self._ends.wait()
        self._iterations_before = target
        return self.results()

    def results(self) -> Results:
        """Return all results so far."""
        return Results.read(self._run.journal.path)

    def wait_for_workers(self, min_n_workers: int = 1) -> None:
        """Wait for ``min_n_workers`` workers; a diagnosis is logged every half minute.

        Raises
        ------
        NoWorkers
            After ``worker_timeout`` seconds, with a diagnosis.
        """
        check_whole("min_n_workers", min_n_workers, minimum=0)
        self._start()
        self.dispatcher.run_host.wait_for_workers(
            min_n_workers, self.worker_timeout, self.logger, self._check_alive
        )

    def active_iterations(self) -> list[Bracket]:
        """Return the open brackets."""
        return [bracket for bracket in list(self.study.brackets) if not bracket.is_finished]

    def adjust_queue_size(self, number_of_workers: int | None = None) -> tuple[int, int]:
        """Return the low and the high watermark of queued and running jobs for so many workers."""
        count = number_of_workers
        if count is None:
            count = self.dispatcher.number_of_workers()
        return self.queue_sizes.bounds(check_whole("the number of workers", count, minimum=0))

    def get_next_iteration(self, iteration: int, iteration_kwargs: dict[str, Any]) -> Bracket:
        """Make the bracket of iteration ``iteration``; may be overridden.

        It is called again at each resume, and at other times, and has to return the same bracket.
        """
        return self.iter_generator.get_next_iteration(iteration, **iteration_kwargs)

    def job_callback(self, job: FinishedJob) -> None:
        """Pass a finished job to the views, in the dispatcher's thread; may be extended."""
        self.views.finished(job)

    def shutdown(self, shutdown_workers: bool = False) -> None:
        """End the run and close the journal; workers are shut down if either flag is set."""
        if self._thread.is_alive():
            self.dispatcher.shutdown(shutdown_workers or self.shutdown_workers)
            self._thread.join()
        self._run.journal.close()

    def __enter__(self) -> Master:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    # ------------------------------------------------------------------ internals

    def _bracket(self, iteration: int, iteration_kwargs: dict[str, Any]) -> Bracket:
        return self.get_next_iteration(iteration, iteration_kwargs)  # which may be overridden

    def _start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()
            self.dispatcher.wait_until_ready()
        self._check_alive()

    def _serve(self) -> None:
        try:
            self.dispatcher.run()
        except BaseException as error:  # noqa: BLE001  (top of a thread; `run` raises it)
            self._ends.put(error)
        else:
            self._ends.put(RunEnded(EndReason.STOPPED))

    def _check_alive(self) -> None:
        if self.dispatcher.error is not None:
            raise self.dispatcher.error
        if not self._thread.is_alive():
            raise StateError("this master has ended; make another to go on with the run")

    def _observe(self, fresh: Sequence[tuple[float, Record]]) -> None:
        self._stream.observe(fresh)
        for _, record in fresh:
            if isinstance(record, RunEnded):
                self._ends.put(record)
