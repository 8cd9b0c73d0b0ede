"""The worker: connects to a run and evaluates configurations."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from hpdist.cluster.compute import BoundObjective, ComputeObjective, details_of, direct_compute
from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.option_checks import check_waiting, check_worker, register_of, run_name
from hpdist.cluster.remaking import RecordsArguments
from hpdist.cluster.worker_process import ask_to_leave, start_process
from hpdist.core.attempt.child_runner import ChildRunner
from hpdist.core.attempt.inline_runner import InlineRunner
from hpdist.core.attempt.pickled_objective import ObjectiveNotSent
from hpdist.core.attempt.runner import Runner
from hpdist.core.journal.connection_file import read_connection
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.errors import UNAUTHENTICATED_ERRORS, ConfigurationError, NameServerNotFound
from hpdist.core.model.validation import check_choice, check_path, check_seconds, maybe
from hpdist.core.model.values import WorkerInfo
from hpdist.core.objective.objective import Objective, objective_of
from hpdist.core.remote.channel import Timeouts
from hpdist.core.remote.outbox import Outbox
from hpdist.core.remote.session import Session

_numbers = itertools.count()


class Worker(RecordsArguments):
    """Evaluates one configuration at a time for the run ``run_id``.

    Either give it a function (`initialize`), or subclass it: load data in the constructor and
    override `compute`. By default evaluations run in a child process in which the worker is made
    again from its constructor's arguments, so a crash or a hang costs one attempt and nothing else.

    Parameters
    ----------
    run_id
        The run to work for.
    nameserver, nameserver_port
        Address of the nameserver; `load_nameserver_credentials` finds it by itself.
    host
        Name of this machine; default its host name.
    worker_id
        Distinguishes workers of one process; default a running number.
    timeout
        Seconds without a job after which the worker leaves, counted from its last job or, before
        the first, from its connection to a dispatcher; None: never.
    debug
        Evaluate in this process, and leave after the first evaluation that fails.
    isolation
        "process", or "none" to evaluate in the calling thread.
    job_timeout, memory_limit
        Seconds and bytes an evaluation may take; only with a child process.
    device
        Device of this worker's evaluations, such as "cuda:0".
    prefetch
        Number of jobs that are assigned ahead.
    directory
        Where ``configs/`` with the attempts' directories is; default the run directory if that
        is known, else a temporary one.
    carry_over
        Whether `compute` finds in its directory the files of the configuration's last lower budget.
    reconnect_timeout
        Seconds to wait for a dispatcher that has gone away.

    Raises
    ------
    ConfigurationError
        If a value cannot work.
    """

    def __init__(  # noqa: PLR0913 - a public signature
        self,
        run_id: str,
        nameserver: str | None = None,
        nameserver_port: int | None = None,
        host: str | None = None,
        worker_id: Any = None,
        timeout: float | None = None,
        debug: bool = False,
        *,
        logger: logging.Logger | None = None,
        isolation: str = "process",
        job_timeout: float | None = None,
        memory_limit: int | None = None,
        device: str = "",
        prefetch: int = 0,
        directory: str | Path | None = None,
        carry_over: bool = True,
        reconnect_timeout: float = 900.0,
    ) -> None:
        self.run_id = run_name(run_id)
        check_worker(locals())
        self.host = host or socket.gethostname()
        self.debug = debug
        self.isolation = "none" if debug else isolation
        self.job_timeout = job_timeout
        self.memory_limit = memory_limit
        self.device = device
        self.carry_over = carry_over
        self.prefetch = prefetch
        self.directory = None if directory is None else Path(directory)
        self.timeouts = Timeouts(
            idle_s=float("inf") if timeout is None else float(timeout),
            reconnect_s=reconnect_timeout,
        )
        self.logger = logger or logging.getLogger(__name__)
        name = next(_numbers) if worker_id is None else worker_id
        self.worker_id = f"{socket.gethostname()}-{os.getpid()}-{name}"
        self.reason = ""  #: why the worker left
        self._run_address = RunAddress(self.run_id, nameserver, nameserver_port)
        self._dispatcher = ""  #: its last known address
        self._function: Objective | None = None
        self._session: Session | None = None
        self._thread: threading.Thread | BaseProcess | None = None
        self._left = threading.Event()

    # ------------------------------------------------------------------ what to evaluate

    def initialize(self, eval_func: Callable[..., object] | str) -> None:
        """Evaluate ``f(config)``, ``f(config, budget)`` or ``f(config, budget, ctx)``.

        Raises
        ------
        ConfigurationError
            If its signature is none of these.
        """
        self._function = objective_of(eval_func)

    def compute(
        self,
        config_id: tuple[int, int, int],
        config: dict[str, Any],
        config_info: dict[str, Any],
        budget: float,
        working_directory: str,
    ) -> dict[str, Any]:
        """Evaluate ``config`` at ``budget``; override this.

        Parameters
        ----------
        config_id
            (iteration, budget index at which it was sampled, running index).
        config, config_info
            Hyperparameters by name, and why they were chosen.
        budget
            In the user's unit.
        working_directory
            A directory of this attempt alone, with the files of the last lower budget in it.

        Returns
        -------
        result
            With ``loss``, a finite number, and ``info``, anything that JSON can hold.
        """
        raise ConfigurationError(
            f"{type(self).__name__} has nothing to evaluate",
            do="override compute, or give a function: worker.initialize(train)",
        )

    # ------------------------------------------------------------------ address of the run

    def load_nameserver_credentials(
        self, working_directory: str | Path, num_tries: int = 60, interval: float = 1
    ) -> None:
        """Find nameserver and key in ``<working_directory>/<run_id>/``, waiting for them.

        Parameters
        ----------
        num_tries, interval
            Number of tries, and seconds between two of them.

        Raises
        ------
        ConfigurationError
            If there is no connection file after all tries.
        """
        run = RunDirectory(check_path("working_directory", working_directory) / self.run_id)
        check_waiting(num_tries, interval)
        for attempt in range(num_tries):
            if read_connection(run.connection) is not None:
                break
            if attempt == 0:
                self.logger.info("waiting for %s", run.connection)
            time.sleep(interval)
        else:
            raise ConfigurationError(
                f"there is no connection file {run.connection}",
                cause="no nameserver was started for this run in this directory",
                tried=f"{num_tries} times, every {interval:g} s",
                do=f"hpdist nameserver --run {run.path}",
            )
        self._run_address = RunAddress(self.run_id, directory=run.path)
        if self.directory is None:
            self.directory = run.path

    # ------------------------------------------------------------------ running

    def run(self, background: bool = False, concurrent_type: str = "thread") -> None:
        """Serve the run until it is shut down; returns at once with ``background``.

        Parameters
        ----------
        concurrent_type
            "thread" or "process": what to start in the background.
        """
        check_choice("concurrent_type", concurrent_type, ("thread", "process"))
        if not background:
            self._serve()
        elif concurrent_type == "thread":
            self._thread = threading.Thread(
                target=self._serve_in_background, name=f"hpdist-{self.worker_id}", daemon=True
            )
            self._thread.start()
        else:
            attributes = {
                name: vars(self)[name] for name in ("_run_address", "_function", "directory")
            }
            self._thread = start_process(self, self.constructor_arguments, attributes)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a worker in the background has left; False if it has not in time."""
        if self._thread is not None:
            self._thread.join(maybe(check_seconds, "timeout", timeout, zero=True))
            return not self._thread.is_alive()
        return True

    def is_busy(self) -> bool:
        """Return True while an evaluation runs."""
        return self._session is not None and self._session.in_flight.busy

    def shutdown(self) -> None:
        """Leave after the running evaluation; from any thread."""
        self.leave("shut down", at_once=False)

    def leave(self, why: str, *, at_once: bool) -> None:
        """Leave after the running evaluation, or at once and release it; from any thread."""
        self._left.set()
        if self._session is not None:
            self._session.leave(why, at_once=at_once)
        elif isinstance(self._thread, BaseProcess):
            ask_to_leave(self._thread, at_once=at_once)

    def start_computation(self, callback: Any, config_id: Any, *args: Any, **kwargs: Any) -> None:
        """Run one computation in this thread, and report it to ``callback.register_result``."""
        register = register_of(callback)
        result: dict[str, Any] = {"result": None, "exception": None}
        try:
            compute = self.compute if self._function is None else direct_compute(self._function)
            result["result"] = compute(config_id, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  (it is reported to the callback)
            result["exception"] = f"{type(error).__name__}: {error}"
        register(config_id, result)

    def __enter__(self) -> Worker:
        self.run(background=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.wait()

    # ------------------------------------------------------------------ internals

    def _serve(self) -> None:
        runner, incarnation = self._make_runner(), uuid.uuid4().hex
        lasting = RunDirectory(self.directory or Path.home() / ".hpdist" / self.run_id)
        session = Session(
            WorkerInfo(
                self.worker_id,
                incarnation,
                host=self.host,
                pid=os.getpid(),
                prefetch=self.prefetch,
                device=self.device,
                details=details_of(self._function),
            ),
            self.run_id,
            runner,
            lambda: self._run_address.channel(self._find_dispatcher),
            Outbox(lasting.outbox, self.worker_id, incarnation),
            directory=self.directory,
            timeouts=self.timeouts,
            leave_on_failure=self.debug,
        )
        self._session = session
        try:
            if self._left.is_set():
                return
            runner.start()
            self.reason = session.run()
            self.logger.info("worker %s left: %s", self.worker_id, self.reason)
        finally:
            runner.close()
            self._session = None
            self._left.clear()  # it may be run again

    def _find_dispatcher(self) -> str:
        """Ask the nameserver; if it is gone or not authenticated, use the last known address."""
        try:
            self._dispatcher = self._run_address.dispatcher()
        except (NameServerNotFound, *UNAUTHENTICATED_ERRORS):
            if not self._dispatcher:
                raise
        return self._dispatcher

    def _serve_in_background(self) -> None:
        try:
            self._serve()
        except Exception:  # the top of a thread
            self.logger.exception("worker %s ended", self.worker_id)

    def _make_runner(self) -> Runner:
        objective = self._function or self._own_compute()
        if self.isolation == "none":
            return InlineRunner(self._function or self._bound(), device=self.device)
        try:
            return ChildRunner(
                objective,
                job_timeout=self.job_timeout,
                memory_limit=self.memory_limit,
                device=self.device,
            )
        except ObjectiveNotSent as error:
            self.logger.warning(
                "%s\n  evaluations run in the worker's own process: a crash ends the worker, and "
                "job_timeout and memory_limit have no effect",
                error,
            )
            return InlineRunner(self._function or self._bound(), device=self.device)

    def _own_compute(self) -> ComputeObjective:
        args, kwargs = self.constructor_arguments
        if type(self).compute is Worker.compute:
            Worker.compute(self, (0, 0, 0), {}, {}, 0.0, "")  # raises, with the remedy
        return ComputeObjective(type(self), args, kwargs, self.carry_over)

    def _bound(self) -> BoundObjective:
        return BoundObjective(self.compute, self.carry_over)
