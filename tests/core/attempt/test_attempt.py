"""All runners run attempts alike; the child keeps warm, is replaced, cancelled and closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from attempt_objectives import Loaded, poisoned, print_in_c, talkative

from hpdist.core.attempt.child_runner import ChildRunner
from hpdist.core.attempt.inline_runner import InlineRunner
from hpdist.core.attempt.runner import Runner
from hpdist.core.attempt.stop_switch import StopSwitch
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import AttemptResult
from hpdist.core.model.payload import PreviousAttempt
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Success
from hpdist.core.objective.objective import objective_of
from hpdist.executors.loky import LokyRunner
from hpdist.testing.executors import payload_of


@pytest.fixture(params=[InlineRunner, ChildRunner, LokyRunner])
def make_runner(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Runner]]:
    made: list[Runner] = []

    def make(objective: Any) -> Runner:
        made.append(request.param(objective_of(objective)))
        return made[-1]

    yield make
    for runner in made:
        runner.close()


@pytest.fixture
def children() -> Iterator[Callable[..., ChildRunner]]:
    made: list[ChildRunner] = []

    def make(objective: Any, **options: Any) -> ChildRunner:
        made.append(ChildRunner(objective_of(objective), **options))
        return made[-1]

    yield make
    for runner in made:
        runner.close()


def success_of(result: AttemptResult | None) -> dict[str, Any]:
    assert result is not None
    assert isinstance(result.outcome, Success), result.outcome
    info: dict[str, Any] = result.outcome.info
    return info


@pytest.fixture
def _empty_stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with open(os.devnull) as empty:
        monkeypatch.setattr("sys.stdin", empty)
        yield


@pytest.mark.usefixtures("_empty_stdin")
def test_the_objective_is_told_everything_about_its_attempt(
    make_runner: Callable[[Any], Runner], tmp_path: Path
) -> None:
    runner = make_runner(talkative)
    before = time.time()
    result = runner.run(payload_of({}, trial_id=4), (9, 2), directory_root=tmp_path)
    info = success_of(result)
    assert result is not None
    assert (result.job_id, result.attempt) == (9, 2)
    assert before <= result.started <= time.time()
    assert 0 < result.seconds < time.time() - before + 1
    assert info["config_id"] == [0, 0, 4]
    assert (info["attempt"], info["seed"], info["device"]) == (2, 7, "")
    assert info["main_thread"] is True
    assert info["former"] is None


@pytest.mark.usefixtures("_empty_stdin")
def test_an_attempt_continues_from_the_lower_budget(
    make_runner: Callable[[Any], Runner], tmp_path: Path
) -> None:
    runner = make_runner(talkative)
    success_of(runner.run(payload_of({}), (0, 1), directory_root=tmp_path))
    higher = payload_of({}, budget=3.0, previous=PreviousAttempt(1.0, 1))
    info = success_of(runner.run(higher, (1, 1), directory_root=tmp_path))
    assert info["former"] == "budget 1.0"


@pytest.mark.usefixtures("_empty_stdin")
def test_without_a_root_directories_last_as_long_as_the_runner(
    make_runner: Callable[[Any], Runner],
) -> None:
    runner = make_runner(talkative)
    success_of(runner.run(payload_of({}), (0, 1)))
    higher = payload_of({}, budget=3.0, previous=PreviousAttempt(1.0, 1))
    assert success_of(runner.run(higher, (1, 1)))["former"] == "budget 1.0"


@pytest.mark.usefixtures("_empty_stdin")
def test_reports_arrive_in_order_and_are_thinned_out(make_runner: Callable[[Any], Runner]) -> None:
    seen: list[tuple[int, float]] = []
    runner = make_runner(talkative)
    runner.run(
        payload_of({"reports": 50_000}), (0, 1), on_report=lambda *report: seen.append(report)
    )
    assert seen[:1000] == [(step, step / 2) for step in range(1000)]
    assert len(seen) < 5000
    assert seen[-1] == (49_999, 49_999 / 2)


@pytest.mark.usefixtures("_empty_stdin")
def test_a_requested_stop_reaches_the_objective_which_then_succeeds(
    make_runner: Callable[[Any], Runner],
) -> None:
    runner, switch = make_runner(talkative), StopSwitch()
    threading.Timer(0.2, switch.request_stop).start()
    success_of(runner.run(payload_of({"wait": True}), (0, 1), switch=switch))
    assert not switch.cancelled


@pytest.mark.usefixtures("_empty_stdin")
def test_a_cancelled_attempt_has_no_result_and_the_next_one_runs(
    make_runner: Callable[[Any], Runner],
) -> None:
    runner, switch = make_runner(talkative), StopSwitch()
    threading.Timer(0.2, switch.cancel).start()
    assert runner.run(payload_of({"wait": True}), (0, 1), switch=switch) is None
    success_of(runner.run(payload_of({}), (1, 1), switch=StopSwitch()))


def test_data_is_loaded_once_for_many_attempts(make_runner: Callable[[Any], Runner]) -> None:
    runner = make_runner(Loaded())
    runner.start()
    infos = [success_of(runner.run(payload_of({}), (0, i))) for i in range(3)]
    assert [info["calls"] for info in infos] == [1, 2, 3]
    assert len({info["pid"] for info in infos}) == 1


def test_a_child_is_another_process_in_a_group_of_its_own(
    children: Callable[..., ChildRunner],
) -> None:
    runner = children(Loaded())
    runner.start()
    assert runner.pid is not None
    assert os.getpgid(runner.pid) == runner.pid != os.getpgid(0)
    assert success_of(runner.run(payload_of({}), (0, 1)))["pid"] == runner.pid


def test_a_function_made_on_the_spot_reaches_the_child(
    children: Callable[..., ChildRunner],
) -> None:
    offset = 4.5
    result = children(lambda config: config["x"] + offset).run(payload_of({"x": 1}), (0, 1))
    assert result is not None
    assert result.outcome == Success(5.5)


def test_an_objective_by_file_is_loaded_in_the_child_only(
    children: Callable[..., ChildRunner], tmp_path: Path
) -> None:
    file = tmp_path / "train_by_file.py"
    file.write_text("import os\nPID = os.getpid()\ndef train(config): return PID\n")
    runner = children(f"{file}:train")
    result = runner.run(payload_of({}), (0, 1))
    assert result is not None
    assert result.outcome == Success(float(runner.pid or 0))


def test_what_cannot_be_pickled_is_refused_at_once() -> None:
    lock = threading.Lock()
    with pytest.raises(ConfigurationError, match=r"(?s)cannot be sent.*isolation='none'"):
        ChildRunner(objective_of(lambda config: float(lock.locked())))


@pytest.mark.parametrize("option", ["job_timeout", "memory_limit"])
def test_limits_must_be_positive(option: str) -> None:
    with pytest.raises(ConfigurationError, match=option):
        ChildRunner(objective_of(poisoned), **{option: 0})


def test_a_start_that_fails_is_told_with_its_traceback(
    children: Callable[..., ChildRunner],
) -> None:
    runner = children(Loaded("raise"))
    with pytest.raises(ConfigurationError, match=r"(?s)data set is not there.*in build"):
        runner.start()
    result = runner.run(payload_of({}), (0, 1))
    assert result is not None
    assert isinstance(result.outcome, Failure)
    assert result.outcome.kind is FailureKind.EXCEPTION


def test_a_start_that_dies_is_told_with_what_it_printed(
    children: Callable[..., ChildRunner],
) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)exit code 5.*about to die"):
        children(Loaded("die")).start()


def test_a_start_that_hangs_can_be_cancelled(children: Callable[..., ChildRunner]) -> None:
    switch = StopSwitch()
    threading.Timer(0.2, switch.cancel).start()
    children(Loaded("hang")).start(switch)
    assert switch.cancelled


def test_a_module_that_fails_in_the_child_is_told(
    children: Callable[..., ChildRunner], tmp_path: Path
) -> None:
    file = tmp_path / "train_broken.py"
    file.write_text("raise OSError('no licence server')\n\n\ndef train(config): ...\n")
    with pytest.raises(ConfigurationError, match=r"(?s)train_broken\.py.*no licence server"):
        children(f"{file}:train").start()


def test_everything_printed_is_kept_apart_by_attempt(
    children: Callable[..., ChildRunner],
) -> None:
    runner = children(talkative)
    for word in ("first", "second"):
        result = runner.run(payload_of({"print": word, "error": f"{word} warning\n"}), (0, 1))
        assert result is not None
        assert result.output == f"{word}\n{word} warning\n"


def test_what_c_code_prints_is_kept(children: Callable[..., ChildRunner]) -> None:
    result = children(print_in_c).run(payload_of({}), (0, 1))
    assert result is not None
    assert result.output == "said in C\n"


def test_the_key_of_the_run_is_not_in_the_childs_environment(
    children: Callable[..., ChildRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPDIST_KEY", "secret")
    monkeypatch.setenv("HPDIST_KEY_FILE", "/somewhere")
    assert success_of(children(talkative).run(payload_of({}), (0, 1)))["key"] == []


@pytest.mark.parametrize(
    ("device", "name", "visible"),
    [("cuda:1", "cuda", "1"), ("2,3", "cuda", "2,3"), ("tpu:0", "tpu:0", None), ("", "", None)],
)
def test_a_child_sees_its_own_device_only(
    children: Callable[..., ChildRunner],
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    name: str,
    visible: str | None,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    info = success_of(children(talkative, device=device).run(payload_of({}), (0, 1)))
    assert (info["device"], info["visible"]) == (name, visible)


def test_each_attempt_begins_in_the_same_directory(
    children: Callable[..., ChildRunner], tmp_path: Path
) -> None:
    runner = children(talkative)
    first = success_of(runner.run(payload_of({"chdir": str(tmp_path)}), (0, 1)))
    assert first["cwd"] == str(tmp_path)
    assert success_of(runner.run(payload_of({}), (1, 1)))["cwd"] == os.getcwd()


def test_large_payloads_and_results_pass_at_once(children: Callable[..., ChildRunner]) -> None:
    runner = children(lambda config: {"loss": 1.0, "info": config["text"]})
    text = "x" * 1_000_000
    for _ in range(3):
        result = runner.run(payload_of({"text": text}), (0, 1))
        assert result is not None
        assert result.outcome == Success(1.0, info=text)


def test_a_child_that_died_between_attempts_is_replaced(
    children: Callable[..., ChildRunner],
) -> None:
    runner = children(Loaded())
    first = success_of(runner.run(payload_of({}), (0, 1)))["pid"]
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    second = success_of(runner.run(payload_of({}), (1, 1)))
    assert second["pid"] != first
    assert second["calls"] == 1


def test_cancelling_beforehand_starts_nothing(children: Callable[..., ChildRunner]) -> None:
    runner, switch = children(Loaded()), StopSwitch()
    runner.start()
    pid = runner.pid
    switch.cancel()
    assert runner.run(payload_of({}), (0, 1), switch=switch) is None
    assert success_of(runner.run(payload_of({}), (1, 1)))["pid"] == pid


def test_a_second_cancel_shortens_the_grace(children: Callable[..., ChildRunner]) -> None:
    runner, switch = children(poisoned), StopSwitch()
    runner.start()
    threading.Timer(0.3, switch.cancel, [3600.0]).start()
    threading.Timer(0.6, switch.cancel, [0.0]).start()
    assert runner.run(payload_of({"poison": "catch_sigterm"}), (0, 1), switch=switch) is None


def test_a_switch_calls_nobody_after_the_attempt() -> None:
    switch, calls = StopSwitch(), []
    switch.listen(lambda: calls.append(1))
    switch.request_stop()
    switch.listen(None)
    switch.cancel()
    assert calls == [1]


def test_closing_ends_the_child_and_leaves_no_descriptor(
    children: Callable[..., ChildRunner],
) -> None:
    before = psutil.Process().num_fds()
    runner = children(Loaded())
    runner.start()
    child = psutil.Process(runner.pid)
    runner.close()
    runner.close()
    assert not child.is_running()
    assert psutil.Process().num_fds() == before


def test_replaced_children_leave_no_descriptor(children: Callable[..., ChildRunner]) -> None:
    runner = children(poisoned)
    runner.start()
    before = psutil.Process().num_fds()
    for _ in range(3):
        runner.run(payload_of({"poison": "os._exit"}), (0, 1))
    runner.start()
    assert psutil.Process().num_fds() == before


SPAWNED = """
import multiprocessing

from hpdist.core.attempt.child_runner import ChildRunner
from hpdist.core.model.payload import Payload
from hpdist.core.objective.objective import objective_of

PAYLOAD = Payload(0, (0, 0, 0), {"x": 0.5}, 1.0, seed=1)

def bowl(config):
    return config["x"]

def work(queue):
    runner = ChildRunner(objective_of(bowl))
    queue.put(runner.run(PAYLOAD, (0, 1)).outcome.loss)
    runner.close()

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=work, args=(queue,))
    process.start()
    print(queue.get(timeout=60))
    process.join()
"""


def test_a_scripts_function_runs_below_a_process_of_multiprocessing(tmp_path: Path) -> None:
    script = tmp_path / "spawned.py"
    script.write_text(SPAWNED)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.stdout.strip() == "0.5", done.stderr
