"""Commands that look at a run, or act on it without a search: all in this process."""

from __future__ import annotations

import csv
import json
import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cli_scene import BOWL, Commands, records, write

from hpdist.cli.command_file import NAME, read_command, write_command
from hpdist.cli.exit_codes import Exit
from hpdist.cli.keys import fingerprint
from hpdist.core.journal.connection_file import write_connection
from hpdist.core.journal.durable_files import release_lock, take_lock
from hpdist.core.journal.journal import Journal
from hpdist.core.journal.reader import read_journal
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_key import find_key
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import Controlled, Record, RunEnded, RunResumed, WorkerChanged

RUN = Path("r")


@pytest.fixture
def finished(hpdist: Commands) -> Path:
    """A run that has finished."""
    write("bowl.py", BOWL)
    said = hpdist("run", "bowl.py", "--executor", "serial", "--run", RUN, "--budget", "1:3")
    assert said.code == 0, said.err
    return RUN


def rewrite(*more: Record, drop: type[Record] | None = RunEnded) -> None:
    """Write the run's journal anew: without its end, and with ``more`` at its end."""
    entries = read_journal(RUN / "journal").records
    (RUN / "journal").unlink()
    journal = Journal.open(RUN / "journal")
    for at, record in entries:
        if drop is None or not isinstance(record, drop):
            journal.append(record, at)
    for record in more:
        journal.append(record, time.time())
    journal.close()


def taken_over_by(pid: int, host: str | None = None) -> None:
    resumed = next(each for each in records(RUN) if isinstance(each, RunResumed))
    rewrite(replace(resumed, epoch=2, pid=pid, host=host or socket.gethostname()))


def dead_pid() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def note(pid: int) -> dict[str, object]:
    return {
        "format": 1,
        "address": "127.0.0.1:1",
        "run_id": "r",
        "pid": pid,
        "host": socket.gethostname(),
        "started": time.time(),
        "versions": {},
    }


# ------------------------------------------------------------------ status


def test_the_status_of_a_finished_run(hpdist: Commands, finished: Path) -> None:
    said = hpdist("status", finished)
    assert said.code == 0
    assert said.out.startswith("run r: finished\n")
    assert "plan: 2 brackets, 6 evaluations" in said.out
    assert "done 6/6" in said.out
    assert "resume" not in said.out


def test_the_status_of_a_running_one_names_who_runs_it(hpdist: Commands, finished: Path) -> None:
    taken_over_by(os.getpid())
    said = hpdist("status", finished)
    assert f"run r: running, process {os.getpid()} on {socket.gethostname()}" in said.out
    assert hpdist("status", finished, "--json").json["alive"] is True


def test_the_status_of_a_killed_one_says_how_to_go_on(hpdist: Commands, finished: Path) -> None:
    taken_over_by(dead_pid())
    said = hpdist("status", finished)
    assert "run r: broken off" in said.out
    assert "to go on: hpdist resume r" in said.out
    assert hpdist("status", finished, "--json").json["alive"] is False


def test_whether_a_process_elsewhere_lives_is_not_known(hpdist: Commands, finished: Path) -> None:
    taken_over_by(dead_pid(), "far-away")
    told = hpdist("status", finished, "--json").json
    assert told["alive"] is None
    assert told["state"] == "not ended"
    assert told["master"]["host"] == "far-away"


def test_the_workers_of_a_running_one_are_listed(hpdist: Commands, finished: Path) -> None:
    worker = next(each for each in records(RUN) if isinstance(each, WorkerChanged)).worker
    taken_over_by(os.getpid())
    rewrite(WorkerChanged("joined", replace(worker, worker_id="w\x1b[1m", host="h")), drop=None)
    said = hpdist("status", finished)
    assert "w\\x1b[1m  h     joined        0     0" in said.out


def test_the_status_as_json_has_all_numbers(hpdist: Commands, finished: Path) -> None:
    told = hpdist("status", finished, "--json").json
    assert told["state"] == told["ended"]["reason"] == "finished"
    assert told["counts"]["completed"] == told["evaluations"] == 6
    assert told["incumbents"][-1]["budget"] == 3.0
    assert told["path"] == "r"
    assert told["seconds_left"] is None


def test_a_run_of_an_unknown_iteration_generator_is_shown_without_a_plan(
    hpdist: Commands, finished: Path
) -> None:
    data = (finished / "journal").read_bytes()
    entries = read_journal(finished / "journal").records
    assert data
    header = replace(entries[0][1], iter_generator={"name": "Mine"})
    (finished / "journal").unlink()
    journal = Journal.open(finished / "journal")
    for at, record in [(entries[0][0], header), *entries[1:]]:
        journal.append(record, at)
    journal.close()
    said = hpdist("status", finished)
    assert said.code == 0
    assert "plan" not in said.out
    assert "done 6 " in said.out


@pytest.mark.parametrize("verb", ["status", "results", "resume"])
def test_what_is_no_run_is_refused_and_runs_below_it_are_named(
    hpdist: Commands, finished: Path, verb: str
) -> None:
    said = hpdist(verb, ".")
    assert said.code == Exit.USAGE
    assert ". is no run directory" in said.err
    assert "below it are the runs r" in said.err


# ------------------------------------------------------------------ results


def test_the_results_list_the_best_first(hpdist: Commands, finished: Path) -> None:
    said = hpdist("results", finished, "--top", 2)
    rows = [line.split() for line in said.out.splitlines()[-2:]]
    assert float(rows[0][0]) <= float(rows[1][0])
    assert [row[1] for row in rows] == ["3", "3"]
    assert "Results of run 'r' (minimize), finished" in said.out


def test_a_maximum_is_listed_by_its_own_order(hpdist: Commands) -> None:
    write("up.py", "def f(config): return config['x']\nspace = {'x': (0.0, 1.0)}")
    hpdist("run", "up.py", "--executor", "serial", "--run", RUN, "--trials", 4, "--maximize")
    losses = [float(line.split()[0]) for line in hpdist("results", RUN).out.splitlines()[-4:]]
    assert losses == sorted(losses, reverse=True)


def test_the_results_as_json_are_all_evaluations(hpdist: Commands, finished: Path) -> None:
    told = hpdist("results", finished, "--json").json
    assert [each["job_id"] for each in told["evaluations"]] == list(range(6))
    assert told["evaluations"][0]["state"] == "completed"
    assert told["best"]["loss"] == min(
        each["loss"] for each in told["evaluations"] if each["budget"] == 3.0
    )
    assert len(hpdist("results", finished, "--json", "--top", 1).json["evaluations"]) == 1


def test_the_results_go_to_a_csv_file(hpdist: Commands, finished: Path) -> None:
    said = hpdist("results", finished, "--csv", "r.csv")
    assert (said.code, said.out) == (0, "")
    with Path("r.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert {"loss", "config.x", "config.kind"} <= rows[0].keys()


def test_failures_that_are_alike_are_shown_once_and_harmless(hpdist: Commands) -> None:
    text = "def f(config):\n    raise ValueError('no \\x1b[31m good')\nspace = {'x': (0.0, 1.0)}"
    write("bad.py", text)
    said = hpdist("run", "bad.py", "--executor", "serial", "--run", RUN, "--trials", 3)
    assert said.code == Exit.FAILED
    assert "no evaluation succeeded; the first failure" in said.err
    assert "ValueError: no \\x1b[31m good" in said.err
    shown = hpdist("results", RUN, "--failures").out
    assert shown.startswith("3 x exception: ValueError: no \\x1b[31m good")
    assert shown.count("Traceback") == 1
    assert "bad.py" in shown


def test_a_run_without_failures_says_so(hpdist: Commands, finished: Path) -> None:
    assert hpdist("results", finished, "--failures").out == "nothing failed\n"


# ------------------------------------------------------------------ plan


def test_a_plan_shows_rungs_and_cost(hpdist: Commands) -> None:
    said = hpdist("plan", "--budget", "1:9")
    assert said.out.splitlines()[1].split() == ["0", "0", "9", "1"]
    assert "17 configurations, 22 evaluations, 78 budget units; at most 17 workers" in said.out


def test_a_plan_takes_the_budget_of_a_script(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    told = hpdist("plan", "bowl.py", "--json", "--iterations", 1).json
    assert [rung["num_configs"] for rung in told["rungs"]] == [9, 3, 1]
    assert told["iter_generator"]["name"] == "Hyperband"


def test_more_workers_than_are_of_use_are_warned_of(hpdist: Commands) -> None:
    assert "at most 17 are ever busy" in hpdist("plan", "--budget", "1:9", "--workers", 18).err
    assert hpdist("plan", "--budget", "1:9", "--workers", 17).err == ""


def test_what_cannot_be_planned_is_refused(hpdist: Commands) -> None:
    said = hpdist("plan", "--budget", "1:9", "--iter-generator", "asha")
    assert said.code == Exit.USAGE
    said = hpdist("plan", "--iter-generator", "halving")
    assert "--budget 1:81" in said.err


# ------------------------------------------------------------------ journal


def test_a_whole_journal_is_told_to_be_whole(hpdist: Commands, finished: Path) -> None:
    said = hpdist("journal", "check", finished)
    assert said.code == 0
    assert f"{len(records(finished))} records" in said.out


def test_a_torn_tail_is_told_and_no_damage(hpdist: Commands, finished: Path) -> None:
    with (finished / "journal").open("ab") as file:
        file.write(b"0000")
    said = hpdist("journal", "check", finished)
    assert said.code == 0
    assert "4 bytes of a record that was not written to its end" in said.out


def test_damage_is_told_by_all_and_repaired(hpdist: Commands, finished: Path) -> None:
    journal = finished / "journal"
    data = bytearray(journal.read_bytes())
    lines = data.split(b"\n")
    at = sum(len(line) + 1 for line in lines[:5]) + 40
    data[at] ^= 1
    journal.write_bytes(data)
    for words in (["journal", "check"], ["status"], ["results"], ["journal", "show"]):
        said = hpdist(*words, finished)
        assert said.code == Exit.FAILED
        assert "is damaged at byte" in said.err
        assert "hpdist journal repair r" in said.err
    said = hpdist("journal", "repair", finished)
    assert said.code == 0
    assert "bytes cut off" in said.out
    assert (finished / "journal.damaged-1").read_bytes() == data
    assert "5 records" in hpdist("journal", "check", finished).out
    assert "nothing to repair" in hpdist("journal", "repair", finished).out


def test_records_are_shown_as_json_lines(hpdist: Commands, finished: Path) -> None:
    lines = [json.loads(line) for line in hpdist("journal", "show", finished).out.splitlines()]
    assert [line["kind"] for line in lines] == [each.kind for each in records(finished)]
    shown = hpdist("journal", "show", finished, "--kind", "done", "--last", 2).out.splitlines()
    assert [json.loads(line)["kind"] for line in shown] == ["done", "done"]
    said = hpdist("journal", "show", finished, "--kind", "dine")
    assert (said.code, "choose from run, job" in said.err) == (Exit.USAGE, True)


def test_a_directory_without_a_journal_is_refused(hpdist: Commands) -> None:
    for word in ("check", "repair", "show"):
        assert hpdist("journal", word, "nowhere").code == Exit.USAGE


# ------------------------------------------------------------------ keys


def test_the_key_itself_is_never_shown(hpdist: Commands) -> None:
    RUN.mkdir()
    key = find_key("r", RUN)
    said = hpdist("keys", "show", RUN)
    assert said.code == 0
    assert "key:         r/key" in said.out
    assert fingerprint(key) in said.out
    assert key.hex() not in said.out.replace(":", "")


def test_keys_that_differ_have_other_fingerprints() -> None:
    assert fingerprint(b"a" * 32) != fingerprint(b"b" * 32)


def test_the_key_that_a_variable_names_is_the_one_that_is_shown(
    hpdist: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    RUN.mkdir()
    find_key("r", RUN)
    other = write("other", "ab" * 32)
    other.chmod(0o600)
    monkeypatch.setenv("HPDIST_KEY_FILE", "other")
    assert fingerprint(bytes.fromhex("ab" * 32)) in hpdist("keys", "show", RUN).out


def test_a_run_without_a_key_gets_none_by_being_looked_at(hpdist: Commands) -> None:
    RUN.mkdir()
    said = hpdist("keys", "show", RUN)
    assert said.code == Exit.USAGE
    assert "there is no key for run 'r'" in said.err
    assert not (RUN / "key").exists()
    assert hpdist("keys", "rotate", RUN).code == Exit.USAGE


def test_a_key_is_made_anew(hpdist: Commands) -> None:
    RUN.mkdir()
    before = find_key("r", RUN)
    said = hpdist("keys", "rotate", RUN)
    after = find_key("r", RUN)
    assert before != after
    assert fingerprint(after) in said.out
    assert (RUN / "key").stat().st_mode & 0o777 == 0o600


def test_a_key_in_the_environment_is_said_to_be_there(
    hpdist: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    RUN.mkdir()
    find_key("r", RUN)
    monkeypatch.setenv("HPDIST_KEY", "cd" * 32)
    said = hpdist("keys", "show", RUN)
    assert "key:         HPDIST_KEY" in said.out
    assert fingerprint(bytes.fromhex("cd" * 32)) in said.out
    refused = hpdist("keys", "rotate", RUN)
    assert (refused.code, "in HPDIST_KEY" in refused.err) == (Exit.USAGE, True)


def test_the_key_that_is_used_is_the_one_that_is_made_anew(
    hpdist: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    RUN.mkdir()
    unused = find_key("r", RUN)
    write("other", "ab" * 32).chmod(0o600)
    monkeypatch.setenv("HPDIST_KEY_FILE", "other")
    said = hpdist("keys", "rotate", RUN)
    assert fingerprint(find_key("r", RUN)) in said.out
    assert str(Path("other").resolve()) in said.err
    assert find_key("r", RUN).hex() == Path("other").read_text().strip() != "ab" * 32
    monkeypatch.delenv("HPDIST_KEY_FILE")
    assert find_key("r", RUN) == unused


def test_no_key_is_made_anew_under_a_master(hpdist: Commands) -> None:
    RUN.mkdir()
    before, lock = find_key("r", RUN), take_lock(RUN / "lock")
    said = hpdist("keys", "rotate", RUN)
    assert (said.code, "stop that process first" in said.err) == (Exit.USAGE, True)
    assert find_key("r", RUN) == before
    release_lock(lock)
    assert hpdist("keys", "rotate", RUN).code == Exit.DONE


@pytest.mark.parametrize("mode", [0o640, 0o622])
def test_a_key_that_others_can_open_is_neither_shown_nor_replaced(
    hpdist: Commands, mode: int
) -> None:
    RUN.mkdir()
    find_key("r", RUN)
    (RUN / "key").chmod(mode)
    for word in ("show", "rotate"):
        said = hpdist("keys", word, RUN)
        assert (said.code, "chmod 600" in said.err) == (Exit.USAGE, True)


def test_no_key_is_made_anew_under_a_living_nameserver(hpdist: Commands) -> None:
    RUN.mkdir()
    before = find_key("r", RUN)
    write_connection(RunDirectory(RUN).connection, note(os.getpid()))
    said = hpdist("keys", "rotate", RUN)
    assert said.code == Exit.USAGE
    assert "has a nameserver at 127.0.0.1:1" in said.err
    assert find_key("r", RUN) == before
    write_connection(RunDirectory(RUN).connection, note(dead_pid()))
    assert hpdist("keys", "rotate", RUN).code == 0


# ------------------------------------------------------------------ control, resume


def test_commands_need_a_running_master(hpdist: Commands, finished: Path) -> None:
    said = hpdist("control", finished, "pause")
    assert said.code == Exit.UNREACHABLE
    assert "no master runs r" in said.err
    assert "hpdist resume r" in said.err


def test_a_search_within_one_process_takes_no_commands(hpdist: Commands, finished: Path) -> None:
    taken_over_by(os.getpid())
    said = hpdist("control", finished, "stop")
    assert said.code == Exit.UNREACHABLE
    assert "takes no commands" in said.err


@pytest.mark.parametrize("arguments", [["extend"], ["pause", "--trials", "3"], ["halt"]])
def test_commands_that_make_no_sense_are_refused(
    hpdist: Commands, finished: Path, arguments: list[str]
) -> None:
    assert hpdist("control", finished, *arguments).code == Exit.USAGE


def test_a_run_is_resumed_with_the_options_it_had(
    hpdist: Commands, finished: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(RunEnded("stopped", "for the test"))
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    said = hpdist("resume", directory / RUN, "--json")
    assert said.code == 0
    assert said.json["reason"] == "finished"
    assert "found 6 finished" in said.err
    assert f"in {directory}, as before" in said.err


def test_limits_that_were_extended_stay_so(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    options = ["--executor", "serial", "--run", RUN, "--trials", "2", "--budget", "1:1"]
    hpdist("run", "bowl.py", *options)
    limits = {"n_iterations": None, "n_trials": 5, "n_evaluations": None}
    rewrite(Controlled("extend", {**limits, "max_cost": None, "target_loss": None}), drop=None)
    said = hpdist("resume", RUN, "--json")
    assert (said.code, said.json["counts"]["completed"]) == (0, 5)


def test_a_run_that_was_begun_from_python_is_resumed_there(
    hpdist: Commands, finished: Path
) -> None:
    (finished / NAME).unlink()
    said = hpdist("resume", finished)
    assert said.code == Exit.USAGE
    assert "run the same script again" in said.err


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": 99, "verb": "run", "options": {}, "directory": "."}']
)
def test_a_command_that_cannot_be_understood_is_refused(text: str) -> None:
    write(NAME, text).chmod(0o600)
    with pytest.raises(ConfigurationError, match="cannot be understood"):
        read_command(Path())


def test_a_command_is_kept_as_it_was(directory: Path) -> None:
    write_command(Path(), "run", {"budget": (1.0, 3.0), "seed": 0})
    assert read_command(Path()) == ("run", {"budget": [1.0, 3.0], "seed": 0}, directory)
