"""A cluster in simulated time, for the production `Study`, `DispatchState` and `Loop`.

Thousands of seconds pass in one. Messages are delayed, reordered, doubled and lost; workers
crash, fall silent and come back; all of it follows from one seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hpdist.core.dispatch.executor import Post
from hpdist.core.model.events import (
    Assignment,
    AttemptFinished,
    AttemptReleased,
    AttemptResult,
    Event,
    WorkerJoined,
    WorkerLeft,
    WorkerSeen,
)
from hpdist.core.model.orders import (
    Acknowledge,
    Cancel,
    Launch,
    Order,
    Recall,
    Reregister,
    ShutDown,
)
from hpdist.core.model.payload import Payload
from hpdist.core.model.values import Failure, FailureKind, Outcome, Success, WorkerInfo
from hpdist.testing.simulated_time import SimulatedInbox

#: After how long a message that was lost is sent again, as a link does on a time-out.
RESEND_S = 12.0

Evaluate = Callable[[Payload, np.random.Generator], tuple[Outcome, float]]
"""Maps a payload to (outcome, seconds it takes)."""


@dataclass(frozen=True)
class Faults:
    """How badly the simulated cluster behaves: probabilities, and mean seconds between faults."""

    delay_s: float = 0.05
    lost: float = 0.0  #: share of messages whose first sending is lost; they are repeated
    doubled: float = 0.0  #: share of messages that arrive twice
    kill_every_s: float = float("inf")  #: a worker dies, and another process takes its name
    freeze_every_s: float = float("inf")  #: a worker stops, and goes on later
    freeze_s: float = 40.0


class SimulatedCluster:
    """An executor whose workers exist in simulated time only.

    Parameters
    ----------
    inbox
        The clock, and where events go.
    evaluate
        What an attempt comes to, and how long it takes.
    workers, slots, prefetch
        How many workers, and what each of them takes.
    faults, seed
        What goes wrong, drawn from this seed.
    """

    keeps_running = True

    def __init__(
        self,
        inbox: SimulatedInbox,
        evaluate: Evaluate,
        *,
        workers: int = 4,
        slots: int = 1,
        prefetch: int = 0,
        faults: Faults | None = None,
        seed: int = 0,
        heartbeat_s: float = 5.0,
    ) -> None:
        self.inbox, self.evaluate, self.heartbeat_s = inbox, evaluate, heartbeat_s
        self.faults = faults or Faults()
        self.rng = np.random.default_rng(seed)
        self.started: list[Assignment] = []  #: every attempt that began, in order
        self.happened: Counter[str] = Counter()  #: which faults there were, and how many
        self.post: Post | None = None
        self.epoch = 0  #: that of the master who is spoken to
        self.agents = {
            f"w{number}": Agent(self, f"w{number}", slots, prefetch) for number in range(workers)
        }
        self._running = True
        for agent in self.agents.values():
            inbox.after(float(self.rng.random()), agent.begin)
        self._every(self.faults.kill_every_s, lambda: self._any().die())
        self._every(self.faults.freeze_every_s, lambda: self._any().freeze())

    def start(self, post: Post) -> None:
        self.post = post

    def perform(self, orders: Sequence[Order], epoch: int = 0) -> None:
        """Send orders; ``epoch`` is that of the master, and workers heed no earlier one."""
        for order in orders:
            agent = self.agents[order.worker_id]
            if agent.incarnation == order.incarnation:
                self.travel(lambda agent=agent, order=order: agent.obey(order, epoch))  # type: ignore[misc]

    def close(self, grace_s: float) -> None:
        self.post = None

    def retire(self) -> None:
        """Let nothing more happen, so that simulated time can run out."""
        self._running = False
        self.inbox.clock.clear()

    def tell(self, events: Sequence[Event]) -> None:
        """Send events to the loop, as far as the network lets them through.

        What is on its way to a master that ends does not reach the next one.
        """
        post = self.post
        if post is not None:
            self.travel(lambda: post(events))

    def travel(self, arrive: Callable[[], None]) -> None:
        """Let a message arrive late: once or twice, or only when it was repeated."""
        late = RESEND_S if self.rng.random() < self.faults.lost else 0.0
        copies = 2 if self.rng.random() < self.faults.doubled else 1
        self.happened["message lost"] += late > 0
        self.happened["message doubled"] += copies - 1
        for _ in range(copies):
            self.inbox.after(late + float(self.rng.exponential(self.faults.delay_s)), arrive)

    def _any(self) -> Agent:
        return self.agents[f"w{self.rng.integers(len(self.agents))}"]

    def _every(self, mean_s: float, action: Callable[[], None]) -> None:
        if mean_s == float("inf"):
            return

        def again() -> None:
            if self._running:
                action()
                self.inbox.after(float(self.rng.exponential(mean_s)), again)

        self.inbox.after(float(self.rng.exponential(mean_s)), again)


class Agent:
    """A simulated worker: as forgetful as a process, as stubborn as the real worker."""

    def __init__(self, cluster: SimulatedCluster, worker_id: str, slots: int, prefetch: int):
        self.cluster, self.worker_id = cluster, worker_id
        self.slots, self.prefetch = slots, prefetch
        self.life = self.epoch = 0
        self._reset()

    def _reset(self) -> None:
        self.life += 1
        self.incarnation = f"{self.worker_id}.{self.life}"
        self.waiting: dict[Assignment, Payload] = {}
        self.seen: set[Assignment] = set()
        self.running: set[Assignment] = set()
        self.unacknowledged: dict[Assignment, AttemptResult] = {}
        self.frozen: list[Callable[[], None]] | None = None
        self.leaving = False

    @property
    def holds(self) -> tuple[Assignment, ...]:
        return (*self.running, *self.waiting, *self.unacknowledged)

    # ------------------------------------------------------------------ life

    def begin(self) -> None:
        self._join()
        self._beat(self.life)

    def die(self) -> None:
        self.cluster.happened["worker killed"] += 1
        self.start_again(float(self.cluster.rng.exponential(5.0)))

    def start_again(self, after_s: float) -> None:
        """Let another process take this one's name; what this one had in hand is gone."""
        self._reset()
        self.cluster.inbox.after(after_s, self.begin)

    def freeze(self) -> None:
        if self.frozen is None:
            self.frozen, life = [], self.life
            self.cluster.happened["worker frozen"] += 1
            length = float(self.cluster.rng.exponential(self.cluster.faults.freeze_s))
            self.cluster.inbox.after(length, lambda: self._thaw(life))

    def _thaw(self, life: int) -> None:
        if life == self.life:
            late, self.frozen = self.frozen or [], None
            for action in late:
                action()

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        """Do something unless this life is over by then; a frozen worker does it when it wakes."""
        life = self.life

        def run() -> None:
            if life != self.life:
                return
            if self.frozen is not None:
                self.frozen.append(run)
            else:
                action()

        self.cluster.inbox.after(delay, run)

    def _beat(self, life: int) -> None:
        if life == self.life and not (self.leaving and not self.holds):
            self.cluster.tell([WorkerSeen(self.worker_id, self.incarnation, self.holds)])
            for result in list(self.unacknowledged.values()):
                self._hand_in(result)
            self._later(self.cluster.heartbeat_s, lambda: self._beat(life))

    def _join(self) -> None:
        # What the master of before said is not heard any more by who speaks to the next one.
        self.epoch = max(self.epoch, self.cluster.epoch)
        info = WorkerInfo(
            self.worker_id, self.incarnation, slots=self.slots, prefetch=self.prefetch
        )
        self.cluster.tell([WorkerJoined(info, self.holds)])

    # ------------------------------------------------------------------ work

    def obey(self, order: Order, epoch: int = 0) -> None:
        if self.incarnation == order.incarnation and epoch >= self.epoch:
            self.epoch = epoch
            self._later(0.0, lambda: self._carry_out(order))

    def _carry_out(self, order: Order) -> None:
        if isinstance(order, Launch):
            assert order.payload is not None, "the loop fills the payload"
            self._accept((order.job_id, order.attempt), order.payload)
        elif isinstance(order, Acknowledge):
            self.unacknowledged.pop((order.job_id, order.attempt), None)
        elif isinstance(order, Cancel | Recall):
            self._give_back((order.job_id, order.attempt), hard=isinstance(order, Cancel))
        elif isinstance(order, Reregister):
            self._join()
        elif isinstance(order, ShutDown):
            self.leaving = True
            if not self.holds:
                self.cluster.tell([WorkerLeft(self.worker_id, self.incarnation, order.reason)])

    def _accept(self, held: Assignment, payload: Payload) -> None:
        if held not in self.seen:  # what was here before is not begun again
            self.seen.add(held)
            self.waiting[held] = payload
            self._work()

    def _work(self) -> None:
        while self.waiting and len(self.running) < self.slots:
            held = next(iter(self.waiting))
            payload = self.waiting.pop(held)
            self.running.add(held)
            self.cluster.started.append(held)
            outcome, seconds = self.cluster.evaluate(payload, self.cluster.rng)
            self._later(seconds, lambda h=held, o=outcome, s=seconds: self._finish(h, o, s))  # type: ignore[misc]

    def _finish(self, held: Assignment, outcome: Outcome, seconds: float) -> None:
        if held in self.running:
            self.running.discard(held)
            result = AttemptResult(*held, outcome, seconds)
            self.unacknowledged[held] = result
            self._hand_in(result)
            self._work()

    def _hand_in(self, result: AttemptResult) -> None:
        self.cluster.tell([AttemptFinished(self.worker_id, self.incarnation, result)])

    def _give_back(self, held: Assignment, *, hard: bool) -> None:
        if held in self.waiting or (hard and held in self.running):
            self.waiting.pop(held, None)
            self.running.discard(held)
            self.cluster.tell([AttemptReleased(self.worker_id, self.incarnation, *held)])
            self._work()


def quadratic(payload: Payload, rng: np.random.Generator) -> tuple[Outcome, float]:
    """Evaluate a bowl over the numbers of a configuration; a second or so for each budget unit."""
    numbers = [value for value in payload.config.values() if isinstance(value, int | float)]
    loss = float(sum(number**2 for number in numbers)) + 1.0 / payload.budget
    return Success(loss), float(payload.budget * rng.lognormal(0.0, 0.5))


def crashing(share: float, evaluate: Evaluate = quadratic) -> Evaluate:
    """Let a share of the attempts die with their process."""

    def perhaps(payload: Payload, rng: np.random.Generator) -> tuple[Outcome, float]:
        if rng.random() < share:
            return Failure(FailureKind.CRASH, "killed by SIGSEGV"), float(rng.random())
        return evaluate(payload, rng)

    return perhaps
