"""One simulated run: the production loop, book, study and journal; all around them is simulated.

Masters come and go, killed at any look at their inbox and at any call to the disk, alone or with
their machine; or frozen while another one takes over. One seed gives one run.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from swarm_draw import Swarm, draw
from swarm_judge import Judge, Violation, demand
from swarm_parts import evaluation, make_study

from hpdist.core.dispatch.executor import Post
from hpdist.core.dispatch.state import DispatchState
from hpdist.core.dispatch.watermarks import QueueSizes
from hpdist.core.journal.journal import Journal
from hpdist.core.journal.repair import repair
from hpdist.core.model.errors import HpdistError, JournalDamaged, JournalError
from hpdist.core.model.events import (
    AttemptEnded,
    ControlRequested,
    Event,
    JobCreated,
    Record,
)
from hpdist.core.model.limits_and_timing import Retry
from hpdist.core.model.orders import (
    Order,
)
from hpdist.core.run.inbox import Stamped
from hpdist.core.run.loop import Loop
from hpdist.core.run.resume import OpenRun, replay
from hpdist.core.study.study import Study
from hpdist.testing.simulate import SimulatedCluster
from hpdist.testing.simulated_disk import Dead, SimulatedDisk, SimulatedProcess
from hpdist.testing.simulated_time import SimulatedClock, SimulatedInbox

PATH = Path("/runs/r/journal")
MOST_LIVES = 200
MOST_SECONDS = 3_000.0
RESUME_EVERY_S = 40.0


class Master:
    """One life of a master: its process on the disk, its inbox, and when it ends."""

    def __init__(self, world: World, *, nested: bool) -> None:
        self.world = world
        self.process = world.disk.process()
        self.inbox = MasterInbox(world.clock, self)
        self.looks = self.calls = -1
        swarm, rng = world.swarm, world.rng
        if world.deaths_left > 0:
            world.deaths_left -= 1
            if rng.random() < 0.5:
                self.looks = 1 + int(rng.exponential(swarm.looks_between))
            else:
                self.calls = 1 + int(rng.exponential(swarm.calls_between))
        self.freezes = not nested and rng.random() < swarm.second
        self.machine = rng.random() < swarm.machine

    def call(self, name: str) -> None:
        """Take notice of a call to the disk, which may be the last."""
        self.calls -= 1
        if self.calls == 0:
            self._strike(f"at {name}")
        self.world.maybe_fail(name)

    def look(self) -> None:
        self.looks -= 1
        if self.looks == 0:
            self._strike("at a look")
        if self.process.dead:
            raise Dead

    def _strike(self, where: str) -> None:
        world = self.world
        if self.freezes:
            self.freezes = False
            world.freeze(self)
        elif self.machine:
            world.fault_counts[f"machine lost, master {where}"] += 1
            world.disk.crash()
            raise Dead
        else:
            world.fault_counts[f"master killed {where}"] += 1
            self.process.die()
            raise Dead


class MasterInbox(SimulatedInbox):
    """An inbox that its master may not survive."""

    def __init__(self, clock: SimulatedClock, master: Master) -> None:
        super().__init__(clock)
        self._master = master

    def take(self, until: float | None) -> list[Stamped]:
        self._master.look()
        if self.clock.now > MOST_SECONDS:
            raise Violation(f"no end after {MOST_SECONDS:g} s")
        return super().take(until)


class Access:
    """How one master reaches the workers: the newest one is heard."""

    keeps_running = True

    def __init__(self, world: World, epoch: int) -> None:
        self.world, self.epoch = world, epoch
        self._before: tuple[Post | None, int] = (None, 0)

    def start(self, post: Post) -> None:
        cluster = self.world.cluster
        self._before = cluster.post, cluster.epoch
        cluster.post, cluster.epoch = post, self.epoch

    def perform(self, orders: Sequence[Order]) -> None:
        self.world.judge.orders(orders)
        self.world.cluster.perform(orders, self.epoch)

    def close(self, grace_s: float) -> None:
        self.world.cluster.post, self.world.cluster.epoch = self._before


class World:
    """Everything around the masters of one run."""

    def __init__(self, swarm: Swarm) -> None:
        self.swarm = swarm
        self.rng = np.random.default_rng([swarm.seed, 2])
        self.clock = SimulatedClock()
        self.disk = SimulatedDisk(swarm.seed)
        self.disk.before = self._before_call
        self.cluster = SimulatedCluster(
            SimulatedInbox(self.clock),
            evaluation(swarm),
            workers=swarm.workers,
            slots=swarm.slots,
            prefetch=swarm.prefetch,
            faults=swarm.faults,
            seed=swarm.seed,
        )
        self.judge = Judge(swarm, self.disk, PATH)
        self.fault_counts = self.cluster.fault_counts
        self.deaths_left, self.bad_left = swarm.deaths, swarm.bad_budget
        self._masters: dict[SimulatedProcess, Master] = {}
        self._every(swarm.full_every_s, self._fill_disk)
        self._every(swarm.clock_jump_every_s, self._jump)
        for at, command in swarm.commands:
            self.clock.after(at, lambda command=command: self._command(command))  # type: ignore[misc]
        if "pause" in swarm.told:
            self._every(RESUME_EVERY_S, lambda: self._tell("resume"))

    def run(self) -> tuple[list[Record], Study, DispatchState]:
        """Let masters live until the search is done; returns what is left."""
        for _ in range(MOST_LIVES):
            self._send_workers_back()
            master = self._new_master(nested=False)
            ended = self._live(master)
            master.process.die()
            if ended is not None:
                return self._read_back(), *ended
            self.clock.advance(float(self.rng.exponential(self.swarm.away_s)))
        raise Violation(f"no end after {MOST_LIVES} masters")

    def _send_workers_back(self) -> None:
        """Start the workers again that were sent home, in case there is more to do after all."""
        for worker in self.cluster.workers.values():
            if worker.leaving and not worker.assigned:
                worker.restart(0.0)

    # ------------------------------------------------------------------ masters

    def _new_master(self, *, nested: bool) -> Master:
        master = Master(self, nested=nested)
        self._masters[master.process] = master
        return master

    def _live(self, master: Master) -> tuple[Study, DispatchState] | None:
        """Let one master do its work; None if it did not come to the end of the search."""
        try:
            journal = self._open(master.process)
            run = self._take_over(journal, master)
            options = {"queue_sizes": QueueSizes(0, self.swarm.ahead)} if self.swarm.ahead else {}
            loop = Loop(
                run.study, run.dispatch, journal, Access(self, run.epoch), master.inbox, **options
            )
            why = loop.run()
            journal.close()
        except Dead:
            return None
        except JournalError as error:
            self.fault_counts[f"ended: {_short(error)}"] += 1
            return None
        if why.reason != "finished" or not run.study.done:
            return None
        return run.study, run.dispatch

    def _open(self, process: SimulatedProcess) -> Journal:
        try:
            return Journal.open(PATH, disk=process, sync_every=self.swarm.sync_every)
        except JournalDamaged:
            demand(self.fault_counts["second master"] > 0, "a damaged journal, with one master")
            self.fault_counts["journal repaired"] += 1
            repair(PATH, process)
            return Journal.open(PATH, disk=process, sync_every=self.swarm.sync_every)

    def _take_over(self, journal: Journal, master: Master) -> OpenRun:
        study, book = make_study(self.swarm), DispatchState(Retry())
        records = list(journal.records)
        if not records:
            header = study.describe("r")
            journal.append(header, master.inbox.wall())
            records.append((master.inbox.wall(), header))
        run = OpenRun(journal, study, book)
        replay(run, records)
        run.announce(master.inbox.wall())
        journal.commit()
        self.fault_counts["epochs"] = max(self.fault_counts["epochs"], run.epoch)
        return run

    def _read_back(self) -> list[Record]:
        self.disk.before = lambda call, process: None
        self.disk.room = -1
        journal = Journal.open(PATH, disk=self.disk.process())
        # A second master, come too late, may find the disk full and leave half a record.
        torn = journal.cut_bytes and not self.fault_counts["ended: No space left"]
        demand(not torn, "a torn tail after an orderly end")
        return [record for _, record in journal.records]

    def freeze(self, master: Master) -> None:
        """Let a master stand still, and another one take the run over by force."""
        self.fault_counts["second master"] += 1
        self.clock.advance(float(self.rng.exponential(20.0)))
        self.disk.names.pop(PATH.with_name("lock"), None)
        second = self._new_master(nested=True)
        if second.looks < 0 and second.calls < 0:
            second.looks = 1 + int(self.rng.exponential(self.swarm.looks_between))
        second.machine = False
        self._live(second)
        second.process.die()

    # ------------------------------------------------------------------ what goes wrong

    def _before_call(self, name: str, process: SimulatedProcess) -> None:
        if process in self._masters:
            self._masters[process].call(name)

    def maybe_fail(self, name: str) -> None:
        bad = name in ("write", "sync", "truncate") and self.rng.random() < self.swarm.bad_calls
        if bad and self.bad_left:
            self.bad_left -= 1
            self.fault_counts[f"{name} failed"] += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _fill_disk(self) -> None:
        self.fault_counts["disk full"] += 1
        self.disk.room = int(self.rng.integers(400))
        self.clock.after(float(self.rng.exponential(5.0)), self._free_disk)

    def _free_disk(self) -> None:
        self.disk.room = -1

    def _jump(self) -> None:
        self.fault_counts["clock jumped"] += 1
        self.clock.wall_offset += float(self.rng.normal(0.0, 86_400.0))

    def _command(self, command: str) -> None:
        arguments = {
            "drain": {"shut_down_workers": False},
            "stop": {"shut_down_workers": False},
            "extend": {"n_trials": 9, "n_evaluations": 14},
            "cancel": {"jobs": [int(self.rng.integers(8))]},
        }.get(command, {})
        self._tell(command, arguments)

    def _tell(self, command: str, arguments: dict[str, object] | None = None) -> None:
        if self.cluster.post is not None:
            self.fault_counts[f"command {command}"] += command != "resume"
            events: list[Event] = [ControlRequested(command, dict(arguments or {}))]
            self.cluster.post(events)

    def _every(self, mean_s: float, action: Callable[[], None]) -> None:
        if mean_s == float("inf"):
            return

        def again() -> None:
            action()
            self.clock.after(float(self.rng.exponential(mean_s)), again)

        self.clock.after(float(self.rng.exponential(mean_s)), again)


def play(seed: int) -> Counter[str]:
    """Run one seed and judge it; returns what went wrong on purpose.

    Raises
    ------
    Violation, StateError
        If something happened that must not.
    """
    swarm = draw(seed)
    world = World(swarm)
    records, study, book = world.run()
    world.judge.end(records, study, book, world.cluster)
    if swarm.serial:
        undisturbed, _, _ = World(Swarm(seed)).run()
        demand(_search(records) == _search(undisturbed), "another search than without faults")
    return world.fault_counts


def _search(records: list[Record]) -> list[object]:
    """What was decided, and what came of it, in order."""
    return [
        record if isinstance(record, JobCreated) else (record.job_id, record.outcome)
        for record in records
        if isinstance(record, JobCreated) or (isinstance(record, AttemptEnded) and record.final)
    ]


def _short(error: HpdistError) -> str:
    for word in ("another writer", "grew while", "Input/output error", "No space left"):
        if word in str(error):
            return word
    return type(error).__name__
