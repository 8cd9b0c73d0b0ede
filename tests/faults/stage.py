"""The stage of a fault: the processes of one run in a directory, and what they wrote by now.

Everything is directed by files that the scripts in ``cluster_scripts`` look for, and awaited in
the journal and in the objective's own log; nothing here sleeps for a time that was guessed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.core.journal.run_key import find_key

SCRIPTS = Path(__file__).with_name("cluster_scripts")
RUN = "run"
LIMIT_S = 60.0

#: What the processes are told unless a row says otherwise; all figures of the table are to these.
TIMING = {"lease_s": 3.0, "heartbeat_s": 0.5, "closed_s": 1.0, "poll_s": 2.0, "backoff_s": 2.0}

Line = dict[str, Any]


class Actor(subprocess.Popen[bytes]):
    """A process of the run; ``label`` is what a worker is called in files and logs."""

    label = ""

    @property
    def alive(self) -> bool:
        return self.poll() is None


class Stage:
    """One run: its processes, gates that hold evaluations, and the judge at the end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.actors: list[Actor] = []
        self.jobs = 0
        self.plan: list[list[Any]] = []
        self.verdict: dict[str, Any] | None = None

    # ------------------------------------------------------------------ processes

    def start(self, script: str, *arguments: str, **environment: str) -> Actor:
        """Start a script of ``cluster_scripts``."""
        number = len(self.actors)
        with (self.directory / f"{script}-{number}.out").open("wb") as out:
            actor = Actor(
                [sys.executable, str(SCRIPTS / f"{script}.py"), *arguments],
                cwd=self.directory,
                env={**os.environ, "HOME": str(self.directory / "home"), **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.actors.append(actor)
        return actor

    def nameserver(self) -> Actor:
        return self.start("nameserver")

    def master(self, jobs: int = 0, **options: Any) -> Actor:
        """Start a master; by default with a nameserver of its own, and with `TIMING`.

        It serves workers at once and searches from `begin` on, so that nobody comes too late.
        ``jobs`` need not be said again when a run is gone on with.
        """
        self.jobs = jobs or self.jobs
        self.plan = [[0, 0, self.jobs, 1.0]]
        timing = {**TIMING, **options.pop("timing", {})}
        options = {"nameserver": True, "wait": True, "jobs": self.jobs, "timing": timing, **options}
        return self.start("master", json.dumps(options))

    def worker(self, **options: Any) -> Actor:
        """Start a worker, without a child process unless ``isolation`` says so."""
        label = options.pop("label", f"w{len(self.actors)}")
        options = {"label": label, "isolation": "none", **options}
        if "cli" in options:
            del options["isolation"]
        actor = self.start("worker", json.dumps(options))
        actor.label = label
        return actor

    def end(self, process: Actor, number: signal.Signals, within_s: float) -> tuple[int, float]:
        """Send a signal; returns the exit code, and how many seconds it took to end."""
        began = time.monotonic()
        process.send_signal(number)
        try:
            code = process.wait(within_s)
        except subprocess.TimeoutExpired:
            text = f"{process.args} did not end within {within_s:g} s of {number.name}"
            raise AssertionError(f"{text}\n{self.outputs()}") from None
        return code, time.monotonic() - began

    def kill(self, process: Actor) -> float:
        """SIGKILL; returns the time of it."""
        process.kill()
        process.wait()
        return time.time()

    def process(self, pid: int) -> Actor:
        (found,) = (process for process in self.actors if process.pid == pid)
        return found

    # ------------------------------------------------------------------ direction

    def file(self, name: str) -> Path:
        return self.directory / name

    def close_gate(self, worker: Actor | None = None) -> None:
        """Let no evaluation end any more, or none of this worker."""
        self._gate(worker).touch()

    def open_gate(self, worker: Actor | None = None) -> None:
        self._gate(worker).unlink(missing_ok=True)

    def _gate(self, worker: Actor | None) -> Path:
        return self.file("gate" if worker is None else f"gate-{worker.label}")

    def hold(self, label: str, point: str) -> None:
        """Have the worker of this label stop when it comes to a point of its conversation."""
        self.file(f"hold-{label}-{point}").touch()

    def release(self, label: str, point: str) -> None:
        self.file(f"hold-{label}-{point}").unlink()

    def wait_at(self, label: str, point: str) -> None:
        self.wait_until(self.file(f"at-{label}-{point}").exists, f"{label} at {point}")

    def pace(self, seconds: float) -> None:
        """Say how long an evaluation takes at least; up to four times as much."""
        draft = self.file("pace.new")
        draft.write_text(str(seconds))
        draft.rename(self.file("pace"))

    def poison(self, names: dict[int | str, str]) -> None:
        """Have the evaluations of these trials, or of "all", do what `poisons` calls so."""
        self.file("poison.json").write_text(json.dumps(names))

    def begin(self, workers: int = 0) -> None:
        """Have the search begin, once so many workers are there."""
        self.wait_workers(workers)
        self.file("begin").touch()

    def control(self, command: str, **arguments: Any) -> None:
        """Give the dispatcher an operator's command."""
        run = self.directory / RUN
        channel = DispatcherChannel(find_key(RUN, run, create=False), self.address(), RUN)
        try:
            channel.control({"command": command, "arguments": arguments})
        finally:
            channel.close()

    def address(self) -> str:
        """Where the newest dispatcher listens."""
        self.wait_until(lambda: self.journal("resumed"), "a dispatcher")
        return str(self.journal("resumed")[-1]["address"])

    # ------------------------------------------------------------------ what happened

    def log(self, event: str = "") -> list[Line]:
        """What the objective wrote down."""
        lines = _whole_lines(self.file("evaluations.log"))
        return [line for line in lines if event in ("", line["event"])]

    def journal(self, kind: str) -> list[Line]:
        records = _whole_lines(self.directory / RUN / "journal", skip=18)
        return [record for record in records if record["kind"] == kind]

    def finished(self) -> int:
        return sum(record["final"] for record in self.journal("done"))

    def ends_of(self, job: int) -> list[Line]:
        """Records of what came of the attempts of a job."""
        return [record for record in self.journal("done") if record["job_id"] == job]

    def joined(self) -> list[str]:
        """Ids of the workers that are here."""
        here: dict[str, bool] = {}
        for record in self.journal("worker"):
            here[record["worker"]["worker_id"]] = record["state"] in ("joined", "returned")
        return [worker for worker, is_here in here.items() if is_here]

    def job_of(self, line: Line) -> int:
        (number,) = (
            record["job"]["job_id"]
            for record in self.journal("job")
            if (record["job"]["trial_id"], record["job"]["budget"])
            == (line["trial"], line["budget"])
        )
        return int(number)

    def held(self, worker: Actor | None = None) -> list[Line]:
        """Evaluations that a gate holds, and whose worker is not dead."""
        log = self.log()
        ended = {attempt(line) for line in log if line["event"] == "end"}
        alive = {actor.pid for actor in self.actors if actor.alive}
        return [
            line
            for line in log
            if line["event"] == "held" and attempt(line) not in ended
            if line["worker"] in (alive if worker is None else {worker.pid})
        ]

    # ------------------------------------------------------------------ waiting

    def wait_until(self, holds: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
        """Wait until ``holds()`` is true and return what it gave."""
        until = time.monotonic() + limit_s
        while not (found := holds()):
            if time.monotonic() > until:
                raise AssertionError(f"waited {limit_s:g} s for {what}\n{self.outputs()}")
            time.sleep(0.02)
        return found

    def wait_held(self, worker: Actor) -> Line:
        """Wait until the gate holds an evaluation of this worker."""
        held: list[Line] = self.wait_until(
            lambda: self.held(worker), f"an evaluation held at {worker.label}"
        )
        return held[0]

    def wait_workers(self, number: int) -> None:
        self.wait_until(lambda: len(self.joined()) >= number, f"{number} workers")

    def wait_requeued(self, job: int, limit_s: float = LIMIT_S) -> Line:
        """Wait for the record by which a job was queued again, and return it."""
        found: list[Line] = self.wait_until(
            lambda: [record for record in self.ends_of(job) if not record["final"]],
            f"job {job} to be queued again",
            limit_s,
        )
        return found[0]

    def wait_final(self, job: int) -> Line:
        found: list[Line] = self.wait_until(
            lambda: [record for record in self.ends_of(job) if record["final"]],
            f"the result of job {job}",
        )
        return found[0]

    # ------------------------------------------------------------------ the end

    def finish(
        self, master: Actor, *, repeats: int = 0, failures: dict[int, str] | None = None
    ) -> dict[str, Any]:
        """Let the run come to its end, and have it judged.

        Parameters
        ----------
        repeats
            How many evaluations there may be beyond one for each job.
        failures
            Kinds of failure, by trial, of those that are not to have a loss.
        """
        for file in [*self.directory.glob("gate*"), *self.directory.glob("hold-*")]:
            file.unlink()
        self.begin()
        self.file("leave").touch()
        code = self._exit_code(master)
        assert code == 0, f"the master ended with {code}\n{self.outputs()}"
        for worker in [actor for actor in self.actors if actor.label and actor.alive]:
            code = self._exit_code(worker)
            assert code == 0, f"worker {worker.label} ended with {code}\n{self.outputs()}"
        return self.judge(repeats=repeats, failures=failures)

    def _exit_code(self, process: Actor) -> int:
        try:
            return process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{process.args} does not end\n{self.outputs()}") from None

    def judge(
        self, *, repeats: int | None = None, failures: dict[int, str] | None = None
    ) -> dict[str, Any]:
        """Have the run judged by a program that knows nothing of hpdist."""
        plan, kinds = json.dumps(self.plan), json.dumps(failures or {})
        arguments = self.directory / RUN / "journal", self.file("evaluations.log"), plan, kinds
        said = subprocess.run(
            [sys.executable, str(SCRIPTS / "judge.py"), *map(str, arguments)],
            stdout=subprocess.PIPE,
            timeout=LIMIT_S,
            check=True,
        )
        self.verdict = verdict = json.loads(said.stdout)
        assert verdict["complaints"] == [], "\n".join(verdict["complaints"]) + self.outputs()
        again = verdict["evaluations"] - verdict["jobs"]
        if repeats is not None:
            assert again <= repeats, f"{again} evaluations repeated, {repeats} allowed"
        return dict(verdict)

    def outputs(self) -> str:
        files = sorted(self.directory.glob("*.out"))
        return "\n".join(f"--- {file.name}\n{file.read_text()[-3000:]}" for file in files)

    def close(self) -> None:
        """End every process that is left, and the children of workers, too."""
        for process in self.actors:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        workers = {process.pid for process in self.actors}
        for pid in {line["pid"] for line in self.log()} - workers:
            if _is_evaluation(pid):  # children of workers have sessions of their own
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def attempt(line: Line) -> tuple[int, float, int]:
    """What tells an evaluation apart."""
    return line["trial"], line["budget"], line["attempt"]


def _is_evaluation(pid: int) -> bool:
    """Whether a process is still the one that evaluated, not another with its number."""
    with suppress(OSError):
        return b"hpdist.core.attempt.child_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _whole_lines(path: Path, skip: int = 0) -> list[Line]:
    """What is in a file that others write, but for a last line that is not whole yet."""
    text = path.read_bytes() if path.exists() else b""
    return [json.loads(line[skip:]) for line in text[: text.rfind(b"\n") + 1].splitlines()]
