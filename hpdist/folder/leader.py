"""The leader of a search in a shared directory: it runs the loop and evaluates as well."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hpdist.core.dispatch.executor import Executor, Post
from hpdist.core.journal.run_names import safe_run_id
from hpdist.core.model.errors import HpdistError
from hpdist.core.model.events import ControlRequested
from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.model.orders import Order
from hpdist.core.model.states import Command, EndReason
from hpdist.core.remote.executor import RemoteExecutor
from hpdist.core.run.assembly import RunInstance
from hpdist.core.run.local_run import LocalRun
from hpdist.folder.election import FINISHED, FREE, TERMS, Election, FencedDisk, take_journal
from hpdist.folder.transport import MESSAGES, FileServer

logger = logging.getLogger(__name__)


class FolderExecutor:
    """Assigns attempts to the processes that write requests to a directory."""

    keeps_running = True

    def __init__(self, directory: Path, timing: Timing) -> None:
        self._directory = directory
        self._timing = timing
        self._remote: RemoteExecutor | None = None
        self._server: FileServer | None = None
        self._post: Post | None = None
        self._instance: RunInstance | None = None

    def take_over(self, instance: RunInstance) -> None:
        """Set the run instance that this executor serves."""
        self._instance = instance
        name = safe_run_id(self._directory.resolve().name)
        self._remote = RemoteExecutor(self._timing, instance.epoch, name, instance.instance_id)
        self._server = FileServer(self._directory / MESSAGES, self._remote.exchange)

    def start(self, post: Post) -> None:
        assert self._remote is not None, "the run is opened before its executor starts"
        assert self._server is not None
        assert self._instance is not None
        self._post = post
        self._instance.announce("")
        self._remote.start(post)
        self._server.start()

    def perform(self, orders: Sequence[Order]) -> None:
        assert self._remote is not None
        self._remote.perform(orders)

    def close(self, grace_s: float) -> None:
        if self._remote is not None and self._server is not None:
            self._remote.close(grace_s)
            self._server.close()
        self._post = None

    def hand_over(self) -> None:
        """End the loop; running attempts continue, and report to the next leader."""
        if self._post is not None:
            self._post(
                [
                    ControlRequested(
                        Command.STOP, {"reason": "handed over", "shut_down_workers": False}
                    )
                ]
            )


class Candidate:
    """Takes part in elections until the search ends, and runs the loop when elected.

    Parameters
    ----------
    make_run
        Makes the run from its executor; called by the leader only, since spaces load slowly.
    on_end
        Called with the reason when the search has ended or failed, in the candidate's thread.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        make_run: Callable[[Executor], LocalRun],
        timing: Timing,
        on_end: Callable[[str], None],
    ) -> None:
        self._on_end = on_end
        self._directory = directory
        self._make_run = make_run
        self._timing = timing
        self.election = Election(directory / TERMS, name, timing.lease_s)
        self.failure: BaseException | None = None
        self._leaving = threading.Event()
        self._executor: FolderExecutor | None = None
        self._renew = True
        self._thread = threading.Thread(target=self._campaign, name="hpdist-candidate", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def leave(self) -> None:
        """Stop leading; wait until another process can take over."""
        self._leaving.set()
        executor = self._executor
        if executor is not None:
            executor.hand_over()
        self._thread.join()

    def _campaign(self) -> None:
        try:
            while not self._leaving.is_set():
                if self.election.try_to_lead(renew=self._renew):
                    # A finished search is led once, to check that its limits have not been raised.
                    self._renew = False
                    self._lead()
                else:
                    _, heartbeat = self.election.read_heartbeat()
                    self._renew = self._renew and heartbeat.get("state") == FINISHED
                self._leaving.wait(self._timing.lease_s / 10)
        except BaseException as error:  # noqa: BLE001 - the top of a thread; `run` raises it
            self.failure = error
            self._on_end("the search cannot be led")

    def _lead(self) -> None:
        over = threading.Event()
        state = FREE
        heartbeats = threading.Thread(
            target=self._send_heartbeats, args=(over,), name="hpdist-heartbeat", daemon=True
        )
        heartbeats.start()
        try:
            state = FINISHED if self._drive() else FREE
        except HpdistError:
            if not self.election.superseded:
                raise
            logger.warning("another process has taken over %s", self._directory)
        finally:
            over.set()
            heartbeats.join()
            self.election.resign(state)
        if state == FINISHED:
            self._on_end("finished")

    def _drive(self) -> bool:
        """Run the loop to its end; return True if the search has finished."""
        disk = FencedDisk(lambda: self.election.superseded)
        take_journal(self._directory / "journal", disk)
        executor = FolderExecutor(self._directory, self._timing)
        made = self._make_run(executor)
        opening = replace(made.opening, disk=disk, timing=self._timing)
        run = replace(made, executor=executor, opening=opening)
        self._executor = executor
        if self._leaving.is_set():
            return False
        try:
            return run.run().reason not in (EndReason.STOPPED, EndReason.FAILED)
        finally:
            self._executor = None

    def _send_heartbeats(self, over: threading.Event) -> None:
        while not over.wait(self._timing.lease_s / 10):
            if self.election.superseded and not over.is_set():
                logger.debug("this process no longer leads %s", self._directory)
                return
            self.election.heartbeat()
