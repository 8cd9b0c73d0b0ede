"""Views with real engines: names, maps, failures, killed engines, and who may not take part."""

from __future__ import annotations

import fractions
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from hpdist.core.model.errors import ConfigurationError, NoWorkers
from hpdist.views import Client, CompositeError, PickledValue, RemoteError


@pytest.fixture(scope="module")
def rc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(tmp_path_factory.mktemp("views") / "run", engines=3) as client:
        yield client


def double(x: int) -> int:
    return 2 * x


def fail(x: int) -> int:
    if x % 2:
        raise ValueError(f"odd {x}")
    return x


def where(*_: Any) -> int:
    return os.getpid()


# ------------------------------------------------------------------ both views


@pytest.mark.slow
def test_engines_have_small_numbers(rc: Client) -> None:
    assert rc.ids == [0, 1, 2]
    assert rc[:].targets == [0, 1, 2]
    assert rc[-1].targets == [2]
    assert rc[[0, 2]].targets == [0, 2]
    with pytest.raises(ConfigurationError, match="no engine 9"):
        rc[9]


@pytest.mark.parametrize("kind", ["direct", "balanced"])
def test_a_map_returns_the_values_in_order(rc: Client, kind: str) -> None:
    view: Any = rc[:] if kind == "direct" else rc.load_balanced_view()
    assert view.map_sync(double, range(10)) == [2 * x for x in range(10)]
    assert view.map(lambda x, y: x + y, [1, 2], [3, 4]).get() == [4, 6]
    assert list(view.map_async(double, range(5))) == [0, 2, 4, 6, 8]
    assert view.map_sync(double, []) == []


def test_objects_of_ones_own_are_opened_only_by_who_asks_for_that(
    rc: Client, tmp_path: Path
) -> None:
    with pytest.raises(PickledValue, match="returned a Fraction"):
        rc[0].apply_sync(fractions.Fraction, 1, 3)
    assert rc[0].apply_sync(lambda: {"a": (1, b"2")}) == {"a": (1, b"2")}
    with Client(tmp_path / "run", engines=1, unpickle=True) as trusting:
        assert trusting[0].apply_sync(fractions.Fraction, 1, 3) == fractions.Fraction(1, 3)


def test_a_static_map_gives_blocks_to_engines(rc: Client) -> None:
    pids = rc[:].map_sync(where, range(7))
    assert len(set(pids)) == 3
    assert pids == sorted(pids, key=pids.index)
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 2, 2]


def test_figures_of_a_result(rc: Client) -> None:
    result = rc.load_balanced_view().map_async(double, range(6))
    result.get()
    assert result.ready()
    assert result.successful()
    assert (len(result), result.progress) == (6, 6)
    assert 0 <= result.serial_time < result.wall_time * 3
    frame = result.timeline()
    assert list(frame.columns) == [
        *("engine_id", "pid", "started", "completed", "rel_started", "rel_completed", "order"),
    ]
    assert frame["rel_started"].min() == 0
    for _, rows in frame.groupby("engine_id"):
        assert rows["order"].tolist() == list(range(len(rows)))
        assert rows["pid"].nunique() == 1
    assert {row["status"] for row in result.metadata} == {"ok"}


@pytest.mark.parametrize("kind", ["direct", "balanced"])
def test_waiting_shows_calls_not_chunks(
    rc: Client, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    view: Any = rc[:] if kind == "direct" else rc.load_balanced_view()
    result = view.map_async(double, range(14))
    result.wait_interactive()
    assert capsys.readouterr().out == "14/14 tasks finished after    0 s\n"


# ------------------------------------------------------------------ names


def test_names_are_put_looked_up_and_last(rc: Client) -> None:
    dview = rc[:]
    dview["factor"] = 7
    assert dview["factor"] == [7, 7, 7]
    assert rc[1]["factor"] == 7
    dview.push({"a": 1, "b": [2]}).get()
    assert dview.pull(["a", "b"]).get() == [[1, [2]]] * 3
    rc[0]["a"] = 5
    assert dview.get("a") == [5, 1, 1]
    with pytest.raises(RemoteError, match="no name 'nothing'"):
        rc[0].get("nothing")


@pytest.mark.slow
def test_large_data_goes_there_and_back(rc: Client) -> None:
    data = np.arange(400_000.0)
    rc[:]["data"] = data
    assert all(np.array_equal(each, data) for each in rc[:]["data"])
    lview = rc.load_balanced_view()
    sums = lview.map_sync(lambda n: np.full(200_000, n), range(4))
    assert [each.sum() for each in sums] == [0.0, 200_000.0, 400_000.0, 600_000.0]
    with pytest.raises(ConfigurationError, match="too long for a load-balanced view"):
        lview.apply(np.sum, data)
    assert rc[:].map_sync(double, range(3)) == [0, 2, 4]


def test_sequences_are_scattered_and_gathered(rc: Client) -> None:
    dview = rc[:]
    dview.scatter("part", list(range(7))).get()
    assert dview["part"] == [[0, 1, 2], [3, 4], [5, 6]]
    dview.execute("part = [10 * x for x in part]").get()
    assert dview.gather("part") == [10 * x for x in range(7)]


def test_functions_of_a_script_see_the_engines_names(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from hpdist.views import Client\n"
        "pid = -1\n"
        "def work(i):\n    return (i * factor, pid)\n"
        "if __name__ == '__main__':\n"
        f"    with Client({str(tmp_path / 'run')!r}, engines=2) as rc:\n"
        "        rc[:].execute('import os; pid = os.getpid()').get()\n"
        "        rc[:]['factor'] = 3\n"
        "        values = rc.load_balanced_view().map_sync(work, range(4))\n"
        "        assert [v for v, _ in values] == [0, 3, 6, 9], values\n"
        "        assert {p for _, p in values} <= set(rc[:]['pid']), values\n"
        "        print('well')\n"
    )
    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=100,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ended.stdout == "well\n", ended.stderr


def test_what_is_printed_on_an_engine_is_known_here(rc: Client) -> None:
    result = rc[0].execute("print('hello')")
    result.get()
    assert result.metadata[0]["stdout"] == "hello\n"
    with pytest.raises(SyntaxError):
        rc[0].execute("print(")


def test_a_decorated_function_runs_there(rc: Client) -> None:
    @rc.load_balanced_view().parallel(block=True)
    def treble(x: int) -> int:
        return 3 * x

    assert treble.map(range(4)) == [0, 3, 6, 9]

    @rc[:].parallel(block=True)
    def pid() -> int:
        import os

        return os.getpid()

    assert len(set(pid())) == 3


# ------------------------------------------------------------------ what fails


def test_errors_come_with_the_engines_traceback(rc: Client) -> None:
    result = rc.load_balanced_view().map_async(fail, range(5))
    with pytest.raises(CompositeError, match="2 of 5 calls failed") as caught:
        result.get()
    assert all("in fail" in error.traceback for error in caught.value.errors)
    assert not result.successful()
    values = result.get(return_exceptions=True)
    assert [v for v in values if isinstance(v, int)] == [0, 2, 4]
    assert isinstance(values[1], RemoteError)
    assert "odd 1" in str(values[1])


def test_what_cannot_be_pickled_is_said(rc: Client) -> None:
    with pytest.raises(RemoteError, match="a lock cannot be sent"):
        rc[0].apply_sync(threading.Lock)
    with pytest.raises(TypeError, match="cannot be sent"):
        rc[0].apply(double, threading.Lock())
    with pytest.raises(ConfigurationError, match="the function"):
        rc[0].apply(5)  # type: ignore[arg-type]


def test_a_call_that_kills_its_process_is_one_failure(rc: Client) -> None:
    with pytest.raises(RemoteError, match="exit code 3"):
        rc[1].apply_sync(os._exit, 3)
    assert rc[1].apply_sync(double, 4) == 8
    assert rc.ids == [0, 1, 2]


def test_a_task_beyond_its_time_is_ended(rc: Client) -> None:
    view = rc.load_balanced_view()
    with view.temp_flags(timeout=0.3), pytest.raises(RemoteError, match="not done after"):
        view.apply_sync(time.sleep, 100)
    assert view.timeout is None
    assert view.apply_sync(double, 4) == 8


def test_what_is_cancelled_is_ended(rc: Client) -> None:
    result = rc.load_balanced_view().map_async(time.sleep, [100] * 5)
    rc.cancel(result)
    assert result.wait(60)
    kinds = {error.failure.kind.value for error in result.get(return_exceptions=True)}
    assert kinds == {"cancelled"}
    assert rc[:].apply_sync(where)


def test_retries_and_order(rc: Client, tmp_path: Path) -> None:
    once = tmp_path / "once"

    def flaky(path: str) -> str:
        from pathlib import Path

        if not Path(path).exists():
            Path(path).touch()
            raise OSError("not yet")
        return "well"

    view = rc.load_balanced_view()
    with view.temp_flags(retries=1):
        first = view.apply(flaky, str(once))
    with view.temp_flags(after=first, follow=first):
        second = view.apply(where)
    assert first.get() == "well"
    assert second.get() == first.metadata[0]["pid"]
    with pytest.raises(ConfigurationError, match="no flag 'speed'"):
        view.set_flags(speed=3)
    with pytest.raises(ConfigurationError, match="policy"):
        view.set_flags(policy="best")


# ------------------------------------------------------------------ engines that come and go


def test_nothing_waits_behind_a_long_task_while_others_are_idle(rc: Client, tmp_path: Path) -> None:
    """Engines hold a task ahead while many wait, and hand it back."""

    def work(number: int, flag: str) -> int:
        import time
        from pathlib import Path

        while number == 0 and not Path(flag).exists():
            time.sleep(0.01)
        return number

    assert all(rc.info(engine).prefetch == 1 for engine in rc.ids)
    result = rc.load_balanced_view().map_async(work, range(40), [str(tmp_path / "flag")] * 40)
    while result.progress < 39:
        time.sleep(0.01)
    assert not result.ready()
    (tmp_path / "flag").touch()
    assert result.get(60) == list(range(40))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_task_of_an_engine_that_is_ended_is_run_by_another(
    number: signal.Signals, tmp_path: Path
) -> None:
    with Client(tmp_path / "run", engines=2) as rc:
        pids = [rc.info(engine).pid for engine in rc.ids]
        flag = tmp_path / "flag"

        def wait(path: str) -> int:
            import os
            import time
            from pathlib import Path

            with Path(path).open("a") as file:
                file.write(f"{os.getppid()}\n")
            while len(Path(path).read_text().splitlines()) < 2:
                time.sleep(0.01)
            return os.getppid()

        result = rc.load_balanced_view().apply(wait, str(flag))
        while not flag.exists() or not flag.read_text():
            time.sleep(0.01)
        victim = int(flag.read_text())
        assert victim in pids
        os.kill(victim, number)
        assert result.get(60) in set(pids) - {victim}


def test_what_only_an_engine_that_left_may_run_fails(tmp_path: Path) -> None:
    with Client(tmp_path / "run", engines=1) as rc:

        def endless(path: str) -> None:
            import time
            from pathlib import Path

            Path(path).touch()
            while True:
                time.sleep(0.01)

        running, waiting = (rc[0].apply(endless, str(tmp_path / "flag")) for _ in range(2))
        while not (tmp_path / "flag").exists():
            time.sleep(0.01)
        os.kill(rc.info(0).pid, signal.SIGTERM)
        with pytest.raises(RemoteError, match="its engine left"):
            running.get(60)
        with pytest.raises(RemoteError, match="no engine that may run it is here any more"):
            waiting.get(60)


@pytest.mark.slow
def test_a_client_that_cannot_begin_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_engine(self: Client, count: int, timeout: float = 60.0) -> list[int]:
        raise NoWorkers("none came")

    monkeypatch.setattr(Client, "wait_for_engines", no_engine)
    before, children = set(threading.enumerate()), set(psutil.Process().children())
    with pytest.raises(NoWorkers, match="none came"):
        Client(tmp_path / "run", engines=1)
    assert not [each for each in set(threading.enumerate()) - before if each.is_alive()]
    assert set(psutil.Process().children()) <= children


def test_what_is_open_ends_with_its_client(tmp_path: Path) -> None:
    with Client(tmp_path / "run", engines=1) as rc:
        result = rc.load_balanced_view().map_async(time.sleep, [60, 60])
        rc.load_balanced_view()
    with pytest.raises(CompositeError, match="the client was closed"):
        result.get()
    with pytest.raises(ConfigurationError, match="the client is closed"):
        rc.load_balanced_view().apply(where)
    rc.close()


BEFORE = """
import os, signal, sys, time
from pathlib import Path
from hpdist.views import Client

def endless(flag):
    Path(flag).touch()
    while True:
        time.sleep(0.01)

with Client(sys.argv[1]) as rc:
    rc.wait_for_engines(1)
    rc[0]["x"] = 7
    if sys.argv[2] == "killed":
        flag = Path(sys.argv[1] + ".flag")
        rc[0].apply(endless, str(flag))
        while not flag.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["closed", "killed"])
@pytest.mark.slow
def test_engines_go_from_one_client_to_the_next(tmp_path: Path, end: str) -> None:
    command = [sys.executable, "-m", "hpdist.cli.main", "worker", "--engine", "--run"]
    engine = subprocess.Popen(
        [*command, str(tmp_path / "run")], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        subprocess.run([sys.executable, "-c", BEFORE, str(tmp_path / "run"), end], timeout=60)
        with Client(tmp_path / "run") as rc:
            rc.wait_for_engines(1)
            assert rc.info(0).pid == engine.pid
            assert rc.load_balanced_view().map_sync(double, range(5)) == [0, 2, 4, 6, 8]
            if end == "closed":  # else it was busy, and names end with the process that has them
                assert rc[0]["x"] == 7
        for number in range(3):  # in quick succession
            with Client(tmp_path / "run") as rc:
                rc.wait_for_engines(1)
                assert rc[0].map_sync(double, [number]) == [2 * number]
    finally:
        engine.kill()
        engine.wait()


def test_an_ordinary_worker_is_sent_no_code(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def f(config):\n    return 1.0\n")
    with Client(tmp_path / "run") as rc:
        result = rc.load_balanced_view().apply(where)
        command = [sys.executable, "-m", "hpdist.cli.main", "worker", "mine.py:f"]
        with subprocess.Popen(
            [*command, "--run", str(tmp_path / "run")], cwd=tmp_path,
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        ) as worker:  # fmt: skip
            assert worker.stderr is not None
            assert any("joined run" in line for line in worker.stderr)
            assert not result.wait(0.5)
            assert rc.ids == []
            worker.kill()


def test_without_engines_the_command_is_named(tmp_path: Path) -> None:
    with Client(tmp_path / "run") as rc:
        with pytest.raises(NoWorkers, match="hpdist worker --engine --run"):
            rc.wait_for_engines(1, timeout=0.01)
        with pytest.raises(NoWorkers, match="hpdist worker --engine --run"):
            rc[0]


def test_an_engine_without_a_client_says_what_it_waits_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hpdist.cli.main", "worker", "--engine", "--run", "mine"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as engine:
        assert engine.stderr is not None
        told = [engine.stderr.readline() for _ in range(2)]
        engine.kill()
    assert "no client serves run 'mine'" in told[0]
    assert "hpdist.views.Client('mine')" in told[1]


def test_a_stranger_gets_in_nowhere(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("0" * 64)
    key.chmod(0o600)
    with Client(tmp_path / "run") as rc:
        ended = subprocess.run(
            [sys.executable, "-m", "hpdist.cli.main", "worker", "--engine", "--run",
             str(tmp_path / "run"), "--key-file", str(key)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert ended.returncode != 0
        assert rc.ids == []


@pytest.mark.parametrize("arguments", [["--engine", "mine.py:f"], []])
def test_a_worker_has_a_script_or_is_an_engine(arguments: list[str], tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "hpdist.cli.main", "worker", *arguments, "--run", str(tmp_path)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "--engine" in ended.stderr


def test_cells_run_on_all_engines_and_here(rc: Client) -> None:
    pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.io import capture_output

    shell = InteractiveShell()
    shell.user_ns["rc"] = rc
    shell.run_line_magic("load_ext", "hpdist.views")
    shell.run_cell_magic("px", "--local", "value = 11")
    assert shell.user_ns["value"] == 11
    assert rc[:]["value"] == [11] * 3
    with capture_output() as captured:
        shell.run_line_magic("px", "print(value + 1)")
    assert captured.stdout == "[0] 12\n[1] 12\n[2] 12\n"
    shell.run_cell_magic("px", "", "value = 12")
    assert (shell.user_ns["value"], rc[:]["value"]) == (11, [12] * 3)
