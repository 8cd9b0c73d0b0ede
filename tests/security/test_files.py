"""Other users of the machine, and what they or others leave in a run's directory."""

from __future__ import annotations

import ast
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from attackers import bomb

import hpdist
from hpdist.cli.command_file import NAME, read_command, write_command
from hpdist.cli.main import run as command
from hpdist.cluster.nameserver import NameServer
from hpdist.core.attempt.attempt_directories import AttemptDirectories
from hpdist.core.journal.connection_file import read_connection, write_connection
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_key import find_key
from hpdist.core.model.errors import ConfigurationError, ProtocolMismatch
from hpdist.core.model.payload import read_payload
from hpdist.core.remote.messages import PROTOCOL
from hpdist.core.remote.replies import AssignedAttempt, Reply, read_reply

NOBODY = 65534

SCRIPT = """
space = {"x": (0.0, 1.0)}
def train(config):
    return config["x"]
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run that has begun, and its files that are believed."""
    found = RunDirectory(tmp_path / "mnist")
    found.create()
    find_key("mnist", found.path)
    write_connection(found.connection, note())
    write_command(found.path, "run", {"script": "script.py", "run": str(found.path)})
    return found


@pytest.fixture
def finished(tmp_path: Path) -> RunDirectory:
    """A finished run, with a key."""
    (tmp_path / "script.py").write_text(SCRIPT)
    path = tmp_path / "mnist"
    options = ["--run", str(path), "--trials", "2", "--executor", "serial", "--progress", "none"]
    assert command(["run", str(tmp_path / "script.py"), *options]) == 0
    find_key("mnist", path)
    return RunDirectory(path)


def note() -> dict[str, object]:
    return {"format": 1, "address": "127.0.0.1:1", "run_id": "mnist", "pid": 2**22 + 1,
            "host": "elsewhere", "started": 1.0, "versions": {}}  # fmt: skip


# ------------------------------------------------------------------ pickles that lie about

BOMBS = [
    "HPB_run_mnist_pyro.pkl", "results.pkl", "checkpoint.pkl", "optimizer_state.pkl",
    ".trial_cache.pkl", "journal.pickle", "config.pkl", "outbox/result.pkl", "logs/worker.pkl",
    "configs/0/b1/a1/model.pkl",
]  # fmt: skip


def test_pickles_in_the_directory_of_a_run_are_opened_by_nobody(
    finished: RunDirectory, tmp_path: Path
) -> None:
    mark = tmp_path / "went off"
    for name in BOMBS:
        (finished.path / name).parent.mkdir(parents=True, exist_ok=True)
        (finished.path / name).write_bytes(bomb(mark))
    for arguments in (["status"], ["results"], ["resume"], ["keys", "show"], ["journal", "check"]):
        assert command([*arguments, str(finished.path)]) == 0
    with NameServer("mnist", tmp_path):
        assert not mark.exists()
    assert not mark.exists()


@pytest.mark.parametrize("name", ["connection.json", "key", "journal", "command.json"])
def test_a_pickle_in_place_of_a_file_of_the_run_is_refused(
    finished: RunDirectory, tmp_path: Path, name: str
) -> None:
    mark = tmp_path / "went off"
    (finished.path / name).write_bytes(bomb(mark))
    (finished.path / name).chmod(0o600)
    for arguments in (["status"], ["results"], ["resume"], ["keys", "show"], ["control"]):
        command([*arguments, str(finished.path), *(["stop"] if arguments == ["control"] else [])])
    assert not mark.exists()


def _calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_nothing_in_hpdist_unpickles_but_processes_that_it_started() -> None:
    """They read from a private pipe of the process that started them.

    Views are for shipping code: to engines, started as such. What these answer is data.
    """
    found = set()
    package = Path(hpdist.__file__).parent
    risky = ("load", "loads", "Unpickler", "read_pickle", "eval", "exec", "unpack_from")
    modules = ("pickle", "cloudpickle", "marshal", "dill", "shelve", "joblib", "np", "pd", "yaml")
    for file in package.rglob("*.py"):
        for name in _calls(ast.parse(file.read_text())):
            module, _, function = name.rpartition(".")
            if name in ("eval", "exec") or (module in modules and function in risky):
                found.add((file.stem, name))
    # np.load refuses pickles unless it is told otherwise; it reads the demo's digits.
    found.discard(("demo_objective", "np.load"))
    assert found == {
        ("child_main", "pickle.loads"),
        ("packaging", "pickle.loads"),  # in a child of the process that runs the attempt
        ("worker_process", "cloudpickle.loads"),
        ("pickled", "pickle.loads"),
        ("engine", "exec"),
    }


# ------------------------------------------------------------------ other local users


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", ["key", "connection.json", NAME])
def test_a_file_of_another_user_is_not_believed(run: RunDirectory, name: str) -> None:
    os.chown(run.path / name, NOBODY, NOBODY)
    with pytest.raises(ConfigurationError, match=f"belongs to user {NOBODY}"):
        read(run, name)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o611])
@pytest.mark.parametrize("name", ["key", "connection.json", NAME])
def test_a_file_that_others_can_open_is_not_believed(
    run: RunDirectory, name: str, mode: int
) -> None:
    (run.path / name).chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read(run, name)


@pytest.mark.parametrize("name", ["key", "connection.json", NAME])
def test_a_link_to_a_file_elsewhere_is_not_followed(
    run: RunDirectory, tmp_path: Path, name: str
) -> None:
    (run.path / name).rename(tmp_path / "elsewhere")
    (run.path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(run, name)


def read(run: RunDirectory, name: str) -> object:
    if name == "key":
        return find_key("mnist", run.path)
    return read_connection(run.connection) if name == "connection.json" else read_command(run.path)


def test_the_command_of_another_user_is_not_run_by_resuming(
    finished: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil, mark = tmp_path / "evil.py", tmp_path / "ran"
    evil.write_text(f"open({str(mark)!r}, 'w')\n" + SCRIPT)
    write_command(finished.path, "run", {"script": f"{evil}:train", "run": str(finished.path)})
    (finished.path / NAME).chmod(0o666)
    assert command(["resume", str(finished.path)]) == 2
    assert "chmod 600" in capsys.readouterr().err
    assert not mark.exists()


def test_with_no_umask_at_all_a_key_and_its_place_are_private(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        find_key("mnist", tmp_path / "a" / "b" / "mnist")
        find_key("cifar")
    finally:
        os.umask(former)
    at_home = tmp_path / "home" / ".hpdist"
    for parent in (tmp_path / "a", tmp_path / "a" / "b", at_home):
        assert mode_of(parent) == 0o755
    for run in (tmp_path / "a" / "b" / "mnist", at_home / "cifar"):
        assert (mode_of(run), mode_of(run / "key")) == (0o700, 0o600)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ------------------------------------------------------------------ paths


def payload(**changes: object) -> dict[str, object]:
    return {
        "trial_id": 0, "config_id": [0, 0, 0], "config": {}, "config_info": {}, "budget": 1.0,
        "seed": 1, "previous": None,
    } | changes  # fmt: skip


HOSTILE = [
    {"trial_id": "../../escaped"},
    {"trial_id": "0/../../escaped"},
    {"trial_id": -1},
    {"trial_id": 1.5},
    {"trial_id": True},
    {"trial_id": None},
    {"budget": "../../escaped"},
    {"budget": float("nan")},
    {"budget": [1]},
    {"previous": "../../escaped"},
    {"previous": {"budget": "..", "attempt": 1}},
    {"previous": {"budget": 1.0, "attempt": "../../escaped"}},
    {"config_id": "../"},
    {"config_id": [0, 0]},
    {"config": "../"},
    {"seed": "../"},
]


@pytest.mark.parametrize("change", HOSTILE, ids=str)
def test_a_worker_refuses_work_whose_numbers_are_none(change: dict[str, object]) -> None:
    work = [{"job_id": 1, "attempt": 1, "payload": payload(**change)}]
    with pytest.raises(ProtocolMismatch, match=r"assignments\[0\]"):
        read_reply({"v": PROTOCOL, "kind": "ok", "epoch": 1, "assignments": work})


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": "1"}, {"epoch": None}, {"kind": 7}, {"assignments": {}},
        {"assignments": [{"job_id": "../x", "attempt": 1, "payload": payload()}]},
        {"assignments": [{"job_id": 1, "attempt": -1, "payload": payload()}]}, {"assignments": [7]},
        {"acknowledged": [[1]]}, {"cancel": [["a", "b"]]}, {"recall": 7}, {"shutdown": 7},
        {"shutdown": {"drain": "yes", "reason": ""}}, {"shutdown": {"drain": True}},
        {"settings": {}}, {"settings": {"lease_s": -1, "heartbeat_s": 1, "poll_s": 1}},
        {"settings": {"lease_s": "x", "heartbeat_s": 1, "poll_s": 1}}, {"settings": 3},
    ],
    ids=str,
)  # fmt: skip
def test_a_worker_refuses_a_reply_that_is_none(change: dict[str, object]) -> None:
    right = {"v": PROTOCOL, "kind": "ok", "epoch": 1, "shutdown": None, "acknowledged": [[1, 2]]}
    right["assignments"] = [{"job_id": 1, "attempt": 1, "payload": payload()}]
    assignment = AssignedAttempt(1, 1, read_payload(payload()))
    assert read_reply(right) == Reply("ok", 1, (assignment,), ((1, 2),))
    with pytest.raises(ProtocolMismatch, match=next(iter(change))):
        read_reply(right | change)


@pytest.mark.parametrize("link", ["configs", "configs/3", "configs/3/b1", "configs/3/b1/a1"])
def test_no_attempt_writes_through_a_link_out_of_the_run_directory(
    tmp_path: Path, link: str
) -> None:
    root, outside = tmp_path / "run", tmp_path / "outside"
    (root / link).parent.mkdir(parents=True)
    outside.mkdir()
    (root / link).symlink_to(outside)
    with pytest.raises(ConfigurationError, match="out of the run directory"):
        AttemptDirectories().of(root, read_payload(payload(trial_id=3)), 1)
    previous = {"budget": 1.0, "attempt": 1}
    with pytest.raises(ConfigurationError, match="out of the run directory"):
        AttemptDirectories().of(
            root, read_payload(payload(trial_id=3, budget=9.0, previous=previous)), 1
        )


def test_a_link_to_the_run_directory_itself_is_the_users_business(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    own, _ = AttemptDirectories().of(tmp_path / "run", read_payload(payload()), 1)
    assert own.resolve().is_relative_to(tmp_path / "disk")


RUN_IDS = ["../escaped", "/../../ESCAPED", "a/b", ".hidden", "", "x" * 65, "a\nb", "a\0b", "r.w"]


@pytest.mark.parametrize("run_id", RUN_IDS)
def test_no_entry_point_takes_a_run_id_that_leads_elsewhere(run_id: str, tmp_path: Path) -> None:
    from hpdist import Dispatcher, Worker

    for make in (
        lambda: NameServer(run_id, tmp_path),
        lambda: Dispatcher(lambda job: None, run_id, working_directory=tmp_path),
        lambda: Worker(run_id),
        lambda: find_key(run_id, tmp_path),
    ):
        with pytest.raises(ConfigurationError, match="cannot name a run"):
            make()
    before = sorted(tmp_path.rglob("*"))
    for arguments in (["nameserver"], ["worker", str(tmp_path / "x.py"), "--nameserver", "a:1"]):
        if "\0" not in run_id and run_id:
            assert command([*arguments, "--run-id", run_id]) == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_a_job_id_of_any_kind_becomes_a_number(tmp_path: Path) -> None:
    from hpdist.core.run.submissions import Submissions

    jobs = Submissions(lambda job: None)
    for hostile in ("../../escaped", ("..", "/", 0), (1, 2), (1, 2, 3, 4), "a\0b"):
        job = jobs.add(hostile, {"config": {}}, 0.0)
        assert job is not None
        told = jobs.payload(job.job_id)
        work = [{"job_id": job.job_id, "attempt": 1, "payload": told.to_json()}]
        read_reply({"v": PROTOCOL, "kind": "ok", "epoch": 1, "work": json.loads(json.dumps(work))})
        own, _ = AttemptDirectories().of(tmp_path, told, 1)
        assert own.resolve().is_relative_to(tmp_path)
