"""Dask, Ray and MPI: workers that die, clusters that are elsewhere, and what is missing."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from hpdist.core.attempt.stop_switch import StopSwitch
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.values import Success
from hpdist.core.objective.objective import objective_of
from hpdist.executors.backends.agent import Agent
from hpdist.executors.backends.external_runner import ExternalRunner
from hpdist.executors.backends.packaging import PackagedObjective, package_objective
from hpdist.executors.registry import make_executor
from hpdist.executors.slot import WorkerGone
from hpdist.testing.executors import behave, payload_of

DEADLY = """
import os, signal, sys
from pathlib import Path
from hpdist import minimize
import {package}

def objective(config, budget, ctx):
    once = Path({once!r})
    if config["x"] == 2 and not once.exists():
        once.touch()
        os.kill(os.getppid(), signal.SIGKILL)   # the worker of {package}, not our child
        while True: ...
    return float(config["x"])

if __name__ == "__main__":
    {setup}
    results = minimize(
        objective, {{"x": (0, 9)}}, executor={package!r}, workers=2, optimizer="random",
        initial_configs=[{{"x": x}} for x in range(6)], n_trials=6, run={run!r}, progress="none",
        {options}
    )
    frame = results.to_frame().sort_values("trial")
    print(results.reason, frame["loss"].tolist(), frame["attempts"].tolist())
    {teardown}
"""

DASK = {
    "package": "distributed",
    "setup": """cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None)""",
    "options": "address=cluster.scheduler_address,",
    "teardown": "cluster.close()",
}
RAY = {
    "package": "ray",
    "setup": 'ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)',
    "options": "",
    "teardown": "ray.shutdown()",
}


@pytest.mark.parametrize("system", [DASK, RAY], ids=["dask", "ray"])
@pytest.mark.slow
def test_a_worker_process_that_dies_is_one_lost_attempt(
    system: dict[str, str], tmp_path: Path
) -> None:
    text = DEADLY.format(**system, once=str(tmp_path / "once"), run=str(tmp_path / "run"))
    script = tmp_path / "deadly.py"
    script.write_text(text.replace("executor='distributed'", "executor='dask'"))
    ended = subprocess.run(
        [sys.executable, str(script)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    last = ended.stdout.splitlines()[-1]
    assert last == "finished [0.0, 1.0, 2.0, 3.0, 4.0, 5.0] [1, 1, 2, 1, 1, 1]", ended.stdout


LISTENING = """
import psutil
from hpdist import minimize

def objective(config):
    return config["x"]

def look(result):
    mine = psutil.Process().net_connections()
    print(*{each.laddr.ip for each in mine if each.status == psutil.CONN_LISTEN})

if __name__ == "__main__":
    minimize(objective, {"x": (0.0, 1.0)}, executor="dask", workers=1, n_trials=1, run=RUN,
             optimizer="random", callbacks=[look], progress="none")
"""


@pytest.mark.slow
def test_a_dask_cluster_made_here_listens_on_this_machine_only(tmp_path: Path) -> None:
    script = tmp_path / "listening.py"
    script.write_text(LISTENING.replace("RUN", repr(str(tmp_path / "run"))))
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(script)],  # nor does it warn that a port is taken
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout.split()) == (0, ["127.0.0.1"]), ended.stderr[-3000:]


# ------------------------------------------------------------------ without any system


class DirectSlot:
    """A slot whose agent is in this process, and which can lose an order on the way."""

    def __init__(self, packaged: PackagedObjective) -> None:
        self._packaged, self._agent = packaged, Agent()
        self.lose = self.repeat = False
        self._token, self._threads = "", list[threading.Thread]()

    def open(self) -> None:
        pass

    def submit(self, token: str, order: str, on_event: Any) -> Future[str]:
        self._token = token
        answer: Future[str] = Future()

        def work() -> None:
            if self.lose:
                answer.set_exception(ConnectionError("its node is gone"))
                return
            if self.repeat:
                on_event({"started": {}})
            answer.set_result(self._agent.run(self._packaged, token, order, on_event))

        self._threads.append(threading.Thread(target=work, daemon=True))
        self._threads[-1].start()
        return answer

    def end_early(self, token: str, location: Any, grace_s: float | None) -> None:
        self._agent.end_early(token, grace_s)

    def forget(self, token: str) -> None:
        pass

    def close(self) -> None:
        self._agent.end_early(self._token, 0.0)
        for thread in self._threads:
            thread.join()
        self._agent.clear()


@pytest.fixture
def slot() -> Iterator[DirectSlot]:
    slot = DirectSlot(package_objective(objective_of(behave), None, None))
    yield slot
    slot.close()


def test_an_order_goes_there_and_back(slot: DirectSlot) -> None:
    runner = ExternalRunner(slot)
    runner.start()
    result = runner.run(payload_of({"loss": 2.5}), (3, 1))
    assert result is not None
    assert (result.job_id, result.outcome) == (3, Success(2.5))


def test_a_lost_process_is_no_result(slot: DirectSlot) -> None:
    slot.lose = True
    with pytest.raises(WorkerGone, match="ConnectionError: its node is gone"):
        ExternalRunner(slot).run(payload_of({"loss": 2.5}), (3, 1))


def test_an_order_that_a_system_repeats_by_itself_is_a_lost_one(slot: DirectSlot) -> None:
    slot.repeat = True
    with pytest.raises(WorkerGone, match="died during the attempt"):
        ExternalRunner(slot).run(payload_of({"wait": True}), (3, 1))


def test_what_was_cancelled_before_it_began_is_not_sent(slot: DirectSlot) -> None:
    switch = StopSwitch()
    switch.cancel()
    slot.lose = True
    assert ExternalRunner(slot).run(payload_of({"loss": 1.0}), (3, 1), switch=switch) is None


def test_an_objective_that_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    packaged = PackagedObjective("broken", b"no pickle")
    slot = DirectSlot(packaged)
    with pytest.raises(ConfigurationError, match="broken cannot be started"):
        ExternalRunner(slot).start()
    slot.close()


def test_a_users_module_travels_with_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lone_module.py").write_text(
        "def f(config):\n    return helper(config)\n\n"
        "def helper(config):\n    return config['x'] * 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    packaged = package_objective(objective_of(str(tmp_path / "lone_module.py") + ":f"), None, None)
    code = (
        "import sys, pickle; call = pickle.load(sys.stdin.buffer).build(); "
        "from hpdist.core.model.payload import Payload; "
        "print(call(Payload(0, (0, 0, 0), {'x': 4}, 1.0), None))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], input=cloudpickle.dumps(packaged), capture_output=True,
        timeout=60, cwd="/",
    )  # fmt: skip
    assert ended.stdout.split() == [b"8"], ended.stderr


@pytest.mark.parametrize(
    ("name", "package"), [("dask", "distributed"), ("ray", "ray"), ("mpi", "mpi4py")]
)
def test_what_is_not_installed_is_named_with_its_extra(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=rf'pip install "hpdist\[{name}\]"'):
        make_executor(name, objective_of(behave), tmp_path)


def test_what_nobody_has_read_yet_does_not_fail_the_end_of_an_mpi_job() -> None:
    """MPI_Finalize refuses to end where a message was never received, and the ranks are killed."""
    python, script = Path(sys.executable), Path(__file__).with_name("mpi_unread_messages.py")
    ended = subprocess.run(
        [python.with_name("mpiexec"), "-n", "3", python, "-m", "mpi4py.futures", script],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (0, "4 told\n"), ended.stdout + ended.stderr[-3000:]
