import json
import os
import secrets
import socket
import stat
import subprocess
import sys

import pytest

from hpdist.core.journal import run_key
from hpdist.core.journal.connection_file import (
    connection_is_stale,
    read_connection,
    remove_connection,
    write_connection,
)
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_key import find_key
from hpdist.core.journal.run_names import check_run_id
from hpdist.core.model.errors import ConfigurationError

KEY = "ab" * 32


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of its own, and no key in the environment."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("HPDIST_KEY", raising=False)
    monkeypatch.delenv("HPDIST_KEY_FILE", raising=False)
    monkeypatch.setattr(run_key, "_environment_key", None)
    return home


@pytest.fixture
def run(tmp_path):
    run = RunDirectory(tmp_path / "runs" / "demo")
    run.create()
    return run


def put(path, text=KEY, mode=0o600):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# ------------------------------------------------------------------------- names and places


@pytest.mark.parametrize("run_id", ["a", "cifar-3", "0-1_x", "x" * 64])
def test_plain_names_are_run_ids(run_id):
    assert check_run_id(run_id) == run_id


@pytest.mark.parametrize(
    "run_id",
    ["", ".a", "-a", "a/b", "../a", "a..b", "x" * 65, "ä", "a b", "a\n", "a\0", None, 7],
)
def test_names_that_could_leave_the_directory_are_no_run_ids(run_id):
    with pytest.raises(ConfigurationError, match="cannot name a run"):
        check_run_id(run_id)


def test_files_of_a_run_have_the_agreed_names(run):
    names = {
        name: str(path.relative_to(run.path)) for name, path in vars(run).items() if name != "path"
    }
    assert names == {
        "journal": "journal",
        "key": "key",
        "tls": "tls",
        "outbox": "outbox",
        "connection": "connection.json",
        "lock": "lock",
        "logs": "logs",
        "configs": "configs",
    }


def test_a_new_run_directory_is_private_and_an_old_one_stays(run):
    assert mode(run.path) == 0o700
    run.path.chmod(0o755)
    run.create()
    assert mode(run.path) == 0o755


def test_a_file_in_the_way_of_a_run_directory_is_told(tmp_path):
    put(tmp_path / "demo")
    with pytest.raises(ConfigurationError, match="demo cannot be made"):
        RunDirectory(tmp_path / "demo").create()


def test_attempt_directories_are_named_by_trial_budget_and_attempt(run):
    def name(*attempt):
        return str(run.attempt_directory(*attempt).relative_to(run.configs))

    assert name(3, 27.0, 1) == "3/b27/a1"
    assert name(3, 27, 2) == "3/b27/a2"
    assert name(0, 0.1, 1) == "0/b0.1/a1"
    assert name(0, 1 / 3, 1) == "0/b0.3333333333333333/a1"
    assert name(0, 1e300, 1) == "0/b1e+300/a1"


def test_close_budgets_have_directories_of_their_own(run):
    budgets = [1.0, 1.0 + 2**-52, 1e6, 1e6 + 0.1, 1e15, 1e15 + 2, 1e-9]
    assert len({run.attempt_directory(0, budget, 1) for budget in budgets}) == len(budgets)


# ------------------------------------------------------------------------- the key


def test_a_new_key_lies_in_the_run_directory_for_its_owner_only(run, home):
    key = find_key("demo", run.path)
    assert len(key) == 32
    assert run.key.read_text().strip() == key.hex()
    assert mode(run.key) == 0o600
    assert find_key("demo", run.path) == key
    assert [path.name for path in run.path.iterdir()] == ["key"]
    assert list(home.iterdir()) == []


def test_without_a_directory_the_key_lies_below_home(home):
    key = find_key("demo")
    path = home / ".hpdist" / "demo" / "key"
    assert bytes.fromhex(path.read_text()) == key
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700


def test_two_runs_have_different_keys():
    assert find_key("a") != find_key("b")


def test_a_key_file_named_in_the_environment_comes_first(run, tmp_path, monkeypatch):
    put(run.key, "cd" * 32)
    link = tmp_path / "link"
    link.symlink_to(put(tmp_path / "elsewhere"))
    monkeypatch.setenv("HPDIST_KEY_FILE", str(link))
    monkeypatch.setenv("HPDIST_KEY", "ef" * 32)
    assert find_key("demo", run.path).hex() == KEY
    assert "HPDIST_KEY" not in os.environ


def test_a_named_key_file_must_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("HPDIST_KEY_FILE", str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError, match="nothing, which does not exist"):
        find_key("demo")


def test_a_key_in_the_environment_is_taken_out_and_remembered(run, monkeypatch):
    put(run.key, "cd" * 32)
    monkeypatch.setenv("HPDIST_KEY", KEY)
    assert find_key("demo", run.path).hex() == KEY
    assert "HPDIST_KEY" not in os.environ
    assert find_key("demo", run.path).hex() == KEY


def test_a_key_in_the_directory_comes_before_one_below_home(run, home):
    put(home / ".hpdist" / "demo" / "key")
    assert find_key("demo", run.path).hex() == KEY
    put(run.key, "cd" * 32)
    assert find_key("demo", run.path).hex() == "cd" * 32


def test_a_missing_key_is_told_with_the_places_looked_at(run, home):
    with pytest.raises(ConfigurationError) as caught:
        find_key("demo", run.path, create=False)
    for place in ("HPDIST_KEY_FILE", "HPDIST_KEY,", str(run.key), str(home / ".hpdist/demo/key")):
        assert place in str(caught.value)
    assert not run.key.exists()


@pytest.mark.parametrize("wrong", [0o640, 0o604, 0o660, 0o620, 0o601])
def test_a_key_that_others_may_open_is_refused_with_the_remedy(run, wrong):
    put(run.key, mode=wrong)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {run.key}"):
        find_key("demo", run.path)


def test_a_key_of_another_user_is_refused(run, monkeypatch):
    put(run.key)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(ConfigurationError, match=f"belongs to user {me}"):
        find_key("demo", run.path)


@pytest.mark.parametrize("text", ["", "ab" * 15, "xy" * 32, "a" * 63, "\ufffd" * 64])
def test_what_is_no_key_is_refused_and_never_shown(run, monkeypatch, text):
    put(run.key, text)
    with pytest.raises(ConfigurationError, match="holds no key") as caught:
        find_key("demo", run.path)
    assert not text or text not in str(caught.value)
    assert caught.value.__suppress_context__
    if text:
        monkeypatch.setenv("HPDIST_KEY", text)
        with pytest.raises(ConfigurationError, match="HPDIST_KEY holds no key"):
            find_key("demo", run.path)


def test_a_link_a_directory_and_a_pipe_are_no_key_files(run, tmp_path):
    run.key.symlink_to(put(tmp_path / "elsewhere"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        find_key("demo", run.path)
    run.key.unlink()
    os.mkfifo(run.key, 0o600)
    with pytest.raises(ConfigurationError, match="no regular file"):
        find_key("demo", run.path)
    run.key.unlink()
    run.key.mkdir()
    with pytest.raises(ConfigurationError, match="no regular file"):
        find_key("demo", run.path)


def test_a_key_that_cannot_be_made_is_told(tmp_path):
    put(tmp_path / "file")
    with pytest.raises(ConfigurationError, match=r"file/key cannot be read"):
        find_key("demo", tmp_path / "file")


def test_a_full_disk_when_a_key_is_made_is_told(run, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match=f"{run.key} cannot be made"):
        find_key("demo", run.path)
    assert list(run.path.iterdir()) == []


def test_the_process_that_comes_second_takes_the_key_of_the_first(run, monkeypatch):
    made = []

    def be_overtaken(size):
        put(run.key)
        made.append(size)
        return "cd" * size

    monkeypatch.setattr(secrets, "token_hex", be_overtaken)
    assert find_key("demo", run.path).hex() == KEY
    assert made == [32]
    assert [path.name for path in run.path.iterdir()] == ["key"]


def test_processes_that_make_a_key_at_once_agree(run):
    code = (
        "import sys; sys.stdin.readline();"
        "from hpdist.core.journal.run_key import find_key;"
        "print(find_key('demo', sys.argv[1]).hex())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(run.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    keys = {process.communicate(timeout=60)[0] for process in processes}
    assert keys == {run.key.read_text()}


# ------------------------------------------------------------------------- the connection


def note(**changes):
    return {
        "address": "127.0.0.1:9090",
        "run_id": "demo",
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": 1.5,
        "versions": {"hpdist": "0.1.0"},
        "format": 1,
    } | changes


def test_a_connection_comes_back_and_only_its_owner_may_read_it(run):
    assert read_connection(run.connection) is None
    for address in ("10.0.0.4:9090", "[::1]:80"):
        write_connection(run.connection, note(address=address, epoch=2))
        assert read_connection(run.connection) == note(address=address, epoch=2)
    assert mode(run.connection) == 0o600
    assert [path.name for path in run.path.iterdir()] == ["connection.json"]


def test_a_write_that_fails_leaves_the_old_connection_and_no_rubbish(run, monkeypatch):
    write_connection(run.connection, note())

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_connection(run.connection, note(epoch=3))
    assert read_connection(run.connection) == note()
    assert [path.name for path in run.path.iterdir()] == ["connection.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"address": "localhost"},
        {"address": ":9090"},
        {"address": "host:port"},
        {"address": 9090},
        {"pid": "1"},
        {"pid": True},
        {"pid": 0},
        {"pid": -1},
        {"host": None},
        {"versions": []},
        {"started": "now"},
        {"format": 2},
    ],
)
def test_a_connection_of_the_wrong_make_is_told_with_the_remedy(run, change):
    put(run.connection, json.dumps(note(**change)))
    with pytest.raises(ConfigurationError, match=f"rm {run.connection}") as caught:
        read_connection(run.connection)
    assert next(iter(change)) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00"])
def test_a_connection_that_is_no_object_is_told(run, text):
    put(run.connection, text)
    with pytest.raises(ConfigurationError, match="does not say how"):
        read_connection(run.connection)


def test_a_connection_that_others_may_write_is_refused(run):
    put(run.connection, json.dumps(note()), 0o622)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_connection(run.connection)


def test_only_the_own_connection_is_removed(run):
    remove_connection(run.connection, os.getpid())
    for other in (note(pid=os.getpid() + 1), note(host="elsewhere")):
        write_connection(run.connection, other)
        remove_connection(run.connection, os.getpid())
        assert run.connection.exists()
    write_connection(run.connection, note())
    remove_connection(run.connection, os.getpid())
    assert not run.connection.exists()


def test_a_connection_is_stale_once_its_process_is_dead(monkeypatch):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait(60)
    assert connection_is_stale(note(pid=child.pid))
    assert connection_is_stale(note(pid=2**70))
    assert not connection_is_stale(note(pid=child.pid, host="elsewhere"))
    assert not connection_is_stale(note())

    def forbid(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbid)
    assert not connection_is_stale(note())
