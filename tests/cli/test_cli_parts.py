"""Nameserver, worker and master as three programs: any order, and what goes wrong."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_scene import BOWL, WAITING, Commands, Program, eventually, records, write

from hpdist.cli.exit_codes import Exit
from hpdist.cluster.nameserver import NameServer
from hpdist.core.journal.connection_file import write_connection
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.events import AttemptEnded, AttemptStarted

RUN = Path("runs/three")


def attempts(
    kind: type[AttemptStarted] | type[AttemptEnded],
) -> list[AttemptStarted | AttemptEnded]:
    return [each for each in records(RUN) if isinstance(each, kind)]


def dead_pid() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def a_note(address: str, host: str, pid: int) -> None:
    RunDirectory(RUN).path.mkdir(parents=True)
    note = {
        "format": 1,
        "address": address,
        "run_id": "three",
        "pid": pid,
        "host": host,
        "started": time.time(),
        "versions": {},
    }
    write_connection(RunDirectory(RUN).connection, note)


# ------------------------------------------------------------------ together


@pytest.mark.slow
def test_worker_and_master_wait_for_the_nameserver(start: Callable[..., Program]) -> None:
    write("bowl.py", BOWL)
    worker = start("worker", "bowl.py", "--run", RUN, "-n", 2)
    master = start("master", "bowl.py", "--run", RUN, "--json", "--min-workers", 2)
    for program in (worker, master):
        eventually(lambda program=program: "waiting: run 'three' has no nameserver" in program.told)
    nameserver = start("nameserver", "--run", RUN)
    said = master.end()
    assert said.code == 0, said.err
    assert said.json["counts"]["completed"] == 22
    assert worker.end().code == 0
    nameserver.send(signal.SIGTERM)
    said = nameserver.end()
    assert said.code == 0
    assert f"hpdist worker SCRIPT --run {RUN}" in said.out
    assert f"hpdist master SCRIPT --run {RUN}" in said.out
    assert "listens on loopback" in said.err


@pytest.mark.slow
def test_a_worker_that_is_terminated_hands_its_job_to_another(
    hpdist: Commands, start: Callable[..., Program], directory: Path
) -> None:
    write("waiting.py", WAITING)
    nameserver = start("nameserver", "--run", RUN)
    first = start("worker", "waiting.py:train", "--run", RUN, "--directory", "files")
    eventually(lambda: "knows no dispatcher" in first.told, "waiting for a master")
    master = start("master", "waiting.py", "--run", RUN, "--trials", 1)
    eventually(lambda: (directory / "began-0-1").exists(), "the first attempt")
    assert hpdist("control", RUN, "pause").code == 0
    eventually(lambda: "paused" in hpdist("status", RUN).out, "the pause")
    assert hpdist("control", RUN, "resume").code == 0

    first.send(signal.SIGTERM)
    assert first.end().code == 0
    assert Path("files/configs/0").exists() is False  # the objective asked for no directory
    second = start("worker", "waiting.py", "--run", RUN, "--isolation", "none")
    eventually(lambda: (directory / "began-0-2").exists(), "the second attempt")
    Path("go").touch()
    assert master.end().code == 0
    assert second.end().code == 0
    handed_back, done = attempts(AttemptEnded)
    assert (handed_back.outcome, handed_back.final) == (None, False)
    assert done.final
    assert handed_back.worker_id != done.worker_id

    late = start("worker", "waiting.py", "--run", RUN)
    said = late.end()
    assert said.code == 0
    assert "run three has finished: there is nothing to do" in said.err
    nameserver.send(signal.SIGINT)
    assert nameserver.end().code == 0


@pytest.mark.slow
def test_a_second_ctrl_c_hands_back_what_cannot_be_ended_by_force(
    start: Callable[..., Program], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("waiting.py", WAITING)
    program = start("run", "waiting.py", "--workers", 0, "--trials", 1, "--run", RUN)
    options = ("--isolation", "none", "--run", RUN)
    worker = start("worker", "waiting.py", *options)
    eventually(lambda: (directory / "began-0-1").exists(), "the first attempt")
    worker.send(signal.SIGINT)
    eventually(lambda: "Ctrl-C again leaves at once" in worker.told, "the answer to Ctrl-C")
    worker.send(signal.SIGINT)
    assert worker.end().code == Exit.INTERRUPTED
    eventually(lambda: attempts(AttemptEnded), "the job handed back")
    assert attempts(AttemptEnded)[0].outcome is None
    program.send(signal.SIGTERM)
    assert program.end().code == Exit.RESUMABLE


# ------------------------------------------------------------------ what goes wrong


def test_a_refused_port_is_named_with_cause_and_remedy(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        options = ("--run-id", "r", "--nameserver", address, "--wait", 0)
        for said in (
            hpdist("worker", "bowl.py:objective", *options),
            hpdist("master", "bowl.py", *options),
        ):
            assert said.code == Exit.UNREACHABLE
            assert f"cannot reach the nameserver at {address}" in said.err
            assert "connection refused" in said.err
            assert "hpdist nameserver" in said.err


def test_an_unknown_host_is_not_waited_for(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    options = ("--run-id", "r", "--nameserver", "no-such-host.invalid:7711")
    said = hpdist("worker", "bowl.py:objective", *options)
    assert said.code == Exit.UNREACHABLE
    assert "unknown host" in said.err


def test_another_key_is_told(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    write("other.key", secrets.token_hex(32)).chmod(0o600)
    with NameServer("three", "runs"):
        said = hpdist("worker", "bowl.py:objective", "--run", RUN, "--key-file", "other.key")
    assert said.code == Exit.UNREACHABLE
    assert "has another key than this process" in said.err


def test_another_run_is_told(hpdist: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    write("bowl.py", BOWL)
    with NameServer("three", "runs") as server:
        host, port = server.start()
        options = ("--run-id", "four", "--nameserver", f"{host}:{port}", "--min-workers", 1)
        # Nobody serves "four" here: its master may, and then waits for workers in vain.
        said = hpdist(
            *("master", "bowl.py", "--run", "runs/four", *options),
            *("--key-file", "runs/three/key", "--worker-timeout", 1),
        )
    assert said.code == Exit.UNREACHABLE
    assert "0 of 1 workers joined run 'four'" in said.err
    assert "no worker is registered" in said.err
    assert f"--nameserver {host}:{port}" in said.err or "--run runs/four" in said.err


def test_the_connection_file_of_a_dead_nameserver_is_told(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        pid = dead_pid()
        a_note(f"127.0.0.1:{taken.getsockname()[1]}", socket.gethostname(), pid)
        said = hpdist("worker", "bowl.py:objective", "--run", RUN, "--wait", 0)
    assert said.code == Exit.UNREACHABLE
    assert f"written by process {pid} on {socket.gethostname()}, which no longer runs" in said.err
    assert f"hpdist nameserver --run {RUN}" in said.err


def test_a_nameserver_that_listens_on_loopback_elsewhere_is_told(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        a_note(f"127.0.0.1:{taken.getsockname()[1]}", "far-away", 1)
        said = hpdist("worker", "bowl.py:objective", "--run", RUN)
    assert said.code == Exit.UNREACHABLE
    assert "it is on far-away and listens on loopback" in said.err
    assert "--nic NAME" in said.err


def test_an_objective_that_cannot_be_imported_is_told_before_anything_is_waited_for(
    hpdist: Commands,
) -> None:
    write("bad.py", "import not_there\ndef f(config): ...")
    for verb in ("worker", "master", "run"):
        said = hpdist(verb, "bad.py", "--run", RUN)
        assert said.code == Exit.USAGE
        assert "No module named 'not_there'" in said.err
        assert "sys.path" in said.err


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--run-id", "r"], "--nameserver HOST:PORT"),
        (["--nameserver", "127.0.0.1:7711"], "--run-id NAME"),
        (["--nameserver", "127.0.0.1", "--run-id", "r"], "host:port"),
        (["--run-id", "no/run", "--run", "r"], "cannot name a run"),
    ],
)
def test_options_that_do_not_say_where_a_run_is_are_refused(
    hpdist: Commands, options: list[str], hint: str
) -> None:
    write("bowl.py", BOWL)
    said = hpdist("worker", "bowl.py:objective", *options)
    assert (said.code, hint in said.err) == (Exit.USAGE, True), said.err


@pytest.mark.parametrize("options", [[], ["--run", "r", "--run-id", "r"]])
def test_a_nameserver_needs_one_name_for_its_run(hpdist: Commands, options: list[str]) -> None:
    assert "either --run or --run-id" in hpdist("nameserver", *options).err


def test_a_key_file_that_is_missing_is_told(hpdist: Commands) -> None:
    said = hpdist("nameserver", "--run", "r", "--key-file", "nowhere")
    assert (said.code, "which does not exist" in said.err) == (Exit.USAGE, True)


def test_a_worker_elsewhere_makes_up_no_key(hpdist: Commands, directory: Path) -> None:
    write("bowl.py", BOWL)
    said = hpdist("worker", "bowl.py:objective", "--run-id", "r", "--nameserver", "192.0.2.1:7711")
    assert (said.code, "there is no key for run 'r'" in said.err) == (Exit.USAGE, True)
    assert not (directory / "home" / ".hpdist").exists()


def test_a_worker_class_that_takes_no_options_is_told(hpdist: Commands) -> None:
    text = "from hpdist import Worker\nclass Mine(Worker):\n    def __init__(self): ...\n"
    write("mine.py", text)
    said = hpdist("worker", "mine.py:Mine", "--run", "r")
    assert (said.code, "super().__init__(*args, **kwargs)" in said.err) == (Exit.USAGE, True)
