"""``hpdist run`` and ``hpdist demo``: whole searches."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_scene import BOWL, WAITING, Commands, Program, eventually, records, write

from hpdist import Context, Results
from hpdist.cli import demo_objective
from hpdist.cli.exit_codes import Exit
from hpdist.core.model.events import AttemptStarted, RunCreated, WorkerChanged
from hpdist.core.model.payload import Payload
from hpdist.core.model.states import JobState

LOCAL = ("--executor", "serial", "--budget", "1:3")


def test_a_search_on_worker_processes(hpdist: Commands, start: Callable[..., Program]) -> None:
    write("bowl.py", BOWL)
    said = start("run", "bowl.py", "--workers", 2, "--json").end()
    assert said.code == 0, said.err
    assert said.json["counts"]["completed"] == 22
    assert said.json["path"] == "hpdist-runs/bowl"
    assert "plan: 3 brackets, 22 evaluations" in said.err
    assert "\x1b" not in said.err
    run = Path("hpdist-runs/bowl")
    workers = [each.worker for each in records(run) if isinstance(each, WorkerChanged)]
    assert 1 <= len({worker.pid for worker in workers}) <= 2
    assert (run / "logs" / "worker-0.log").exists()
    assert not (run / "connection.json").exists()

    again = hpdist("run", "bowl.py", "--workers", 2, "--json")
    assert (again.code, again.json["best"]) == (0, said.json["best"])
    assert "found 22 finished" in again.err


@pytest.mark.slow
def test_ctrl_c_waits_for_what_runs_and_resume_goes_on(
    hpdist: Commands, start: Callable[..., Program], directory: Path
) -> None:
    write("waiting.py", WAITING)
    program = start("run", "waiting.py", "--workers", 1, "--trials", 3)
    eventually(lambda: list(directory.glob("began-*")), "an evaluation")
    told = hpdist("status", "hpdist-runs/waiting")
    assert "running 1" in told.out
    assert "to go on" not in told.out

    program.send(signal.SIGINT)
    eventually(lambda: "Ctrl-C again" in program.told, "the answer to Ctrl-C")
    Path("go").touch()
    said = program.end()
    assert said.code == Exit.RESUMABLE
    assert "stopped (interrupted): 1 evaluation;" in said.err
    assert "hpdist resume hpdist-runs/waiting" in said.err

    said = hpdist("resume", "hpdist-runs/waiting", "--json")
    assert (said.code, said.json["counts"]["completed"]) == (0, 3)
    started = [
        each for each in records(Path("hpdist-runs/waiting")) if isinstance(each, AttemptStarted)
    ]
    assert len(started) == 3


@pytest.mark.slow
def test_workers_that_cannot_begin_end_the_search_with_their_log(
    hpdist: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpdist.cluster.worker_processes.RESTART_DELAY_S", 0.01)
    text = "import os\nif 'OMP_NUM_THREADS' in os.environ: raise OSError('not in a worker')\n"
    write("fragile.py", text + BOWL)
    said = hpdist("run", "fragile.py", "--workers", 1)
    assert said.code == Exit.FAILED
    assert "worker process 0 was given up" in said.err
    assert "OSError: not in a worker" in said.err
    assert Results.read("hpdist-runs/fragile").reason == "stopped"


# ------------------------------------------------------------------ in this process


def test_a_changed_search_is_refused_with_the_difference(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    assert hpdist("run", "bowl.py", *LOCAL).code == 0
    write("bowl.py", BOWL.replace("Float(-1, 1)", "Float(-2, 1)"))
    write("other.py", BOWL.replace("Float(-1, 1)", "Float(-2, 1)"))
    said = hpdist("run", "other.py", "--run", "hpdist-runs/bowl", *LOCAL)
    assert said.code == Exit.USAGE
    assert "holds another search: space differs" in said.err
    assert '-   "lower": -1.0' in said.err
    assert '+   "lower": -2.0' in said.err
    assert "--new" in said.err


def test_another_optimizer_is_accepted_when_asked_for(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    options = ("--executor", "serial", "--budget", "1:1", "--trials")
    assert hpdist("run", "bowl.py", *options, 2).code == 0
    said = hpdist("run", "bowl.py", *options, 3, "--optimizer", "sobol")
    assert "optimizer differs" in said.err
    assert "--on-change continue" in said.err
    more = ("--optimizer", "sobol", "--on-change", "continue", "--json")
    said = hpdist("run", "bowl.py", *options, 3, *more)
    assert (said.code, said.json["counts"]["completed"]) == (0, 3)


def test_a_refused_command_is_not_what_resume_repeats(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    hpdist("run", "bowl.py", *LOCAL)
    before = Path("hpdist-runs/bowl/command.json").read_bytes()
    assert hpdist("run", "bowl.py", *LOCAL, "--seed", 7).code == Exit.USAGE
    assert Path("hpdist-runs/bowl/command.json").read_bytes() == before


def test_a_new_run_is_made_beside_the_former(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    for name in ("bowl", "bowl-2", "bowl-3"):
        said = hpdist("run", "bowl.py", *LOCAL, "--new", "--json")
        assert said.json["path"] == f"hpdist-runs/{name}"


def test_the_options_reach_the_search(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    hpdist("run", "bowl.py", *LOCAL, "--run", "earlier")
    options = ["--optimizer", "sobol", "--seed", 3, "--eta", 2, "--iter-generator", "halving"]
    limits = ["--iterations", 1, "--trials", 9, "--evaluations", 20, "--max-cost", 99]
    more = [
        "--target-loss",
        -5,
        "--warm-start",
        "earlier",
        "--time-limit",
        "1h",
        "--progress",
        "none",
    ]
    said = hpdist("run", "bowl.py", *LOCAL, "--run", "r", *options, *limits, *more)
    assert (said.code, said.err) == (0, "")
    header = records(Path("r"))[0]
    assert isinstance(header, RunCreated)
    assert (header.seed, header.optimizer["name"]) == (3, "Sobol")
    assert header.iter_generator["name"] == "SuccessiveHalving"
    assert header.iter_generator["eta"] == 2
    assert header.limits == {
        "n_iterations": 1,
        "n_trials": 9,
        "n_evaluations": 20,
        "max_cost": 99.0,
        "target_loss": -5.0,
    }
    assert len(header.warm_start) == 6


@pytest.mark.parametrize("executor", ["process", "thread", "serial", "loky"])
def test_a_search_within_one_process(hpdist: Commands, executor: str) -> None:
    write("bowl.py", BOWL)
    options = ("--budget", "1:1", "--trials", 2, "--workers", 1, "--json")
    said = hpdist("run", "bowl.py", "--executor", executor, *options)
    assert (said.code, said.json["counts"]["completed"]) == (0, 2)


def test_a_worker_needs_a_cluster(hpdist: Commands) -> None:
    write("mine.py", "from hpdist import Worker\nclass Mine(Worker): ...\nspace = {'x': (0, 1)}")
    said = hpdist("run", "mine.py", "--executor", "process")
    assert (said.code, "--executor cluster" in said.err) == (Exit.USAGE, True)


def test_a_time_limit_leaves_a_run_that_can_be_resumed(hpdist: Commands) -> None:
    write("slow.py", "import time\ndef f(config): time.sleep(0.1)\nspace = {'x': (0.0, 1.0)}")
    said = hpdist("run", "slow.py", "--executor", "serial", "--time-limit", 0.05)
    assert said.code == Exit.RESUMABLE
    assert "time_limit" in said.err


def test_the_end_of_a_run_is_recorded_once(hpdist: Commands, start: Callable[..., Program]) -> None:
    write("bowl.py", BOWL)
    run = Path("hpdist-runs/bowl")
    hpdist("run", "bowl.py", "--workers", 1, "--trials", 1, "--budget", "1:1")
    before = len(records(run))
    hpdist("run", "bowl.py", "--workers", 1, "--trials", 1, "--budget", "1:1")
    assert len(records(run)) == before


# ------------------------------------------------------------------ demo


@pytest.mark.slow
def test_the_demo_runs_and_says_how_to_run_it_anew(hpdist: Commands) -> None:
    options = ("--budget", "1:3", "--progress", "none")
    said = hpdist("demo", *options)
    assert said.code == 0, said.err
    assert "activation=" in said.out
    assert "hpdist run SCRIPT" in said.err
    results = Results.read("hpdist-runs/demo")
    assert results.reason == "finished"
    assert results.best is not None
    assert results.best.loss < 0.9
    again = hpdist("demo", *options, "--json")
    assert "hpdist demo --new" in again.err
    assert again.json["best"]["loss"] == results.best.loss


def test_the_demo_without_scikit_learn_says_how_to_get_it(
    hpdist: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = hpdist("demo")
    assert said.code == Exit.USAGE
    assert 'pip install "hpdist[demo]"' in said.err


def test_the_demo_goes_on_from_where_the_lower_budget_ended(tmp_path: Path) -> None:
    config = {
        "units": 16,
        "layers": 1,
        "learning_rate": 0.01,
        "alpha": 1e-4,
        "batch_size": 64,
        "activation": "relu",
    }
    told: list[int] = []

    def context(name: str, previous: Path | None) -> Context:
        payload = Payload(0, (0, 0, 0), config, 1.0, seed=7)
        return Context(
            payload, 1, tmp_path / name, previous, report=lambda step, loss: told.append(step)
        )

    first = demo_objective.train(config, 2, context("low", None))
    assert told == [1, 2]
    second = demo_objective.train(config, 4, context("high", tmp_path / "low"))
    assert told == [1, 2, 3, 4]
    assert second["loss"] < first["loss"]
    assert second["accuracy"] > first["accuracy"]
    with np.load(tmp_path / "high" / "weights.npz", allow_pickle=False) as saved:
        assert saved["epochs"] == 4


def test_what_failed_is_evaluated_again_when_its_cause_is_mended(
    hpdist: Commands, directory: Path
) -> None:
    (directory / "mend.py").write_text(
        "from pathlib import Path\n"
        "space = {'x': (0.0, 1.0)}\n"
        "def train(config):\n"
        "    return config['x'] / Path('mended').exists()\n"
    )
    search = ("run", "mend.py", "--executor", "serial", "--trials", 3, "--progress", "none")
    assert hpdist(*search).code == 1
    (directory / "mended").touch()
    assert hpdist(*search).code == 1, "what failed is kept unless somebody asks"
    assert hpdist(*search, "--retry-failed").code == 0
    states = Counter(one.state for one in Results.read("hpdist-runs/mend").evaluations)
    assert states == {JobState.FAILED: 3, JobState.COMPLETED: 3}


def test_defaults_come_first_by_choice(hpdist: Commands) -> None:
    write("bowl.py", BOWL)
    said = hpdist(
        "run", "bowl.py", "--default-first", "--trials", "3", "--iter-generator", "single",
        "--executor", "serial", "--run", "r", "--json",
    )  # fmt: skip
    first = said.json["evaluations"][0]
    assert first["config_info"]["origin"] == "initial"


def test_several_objectives_are_shown_as_a_front(hpdist: Commands, directory: Path) -> None:
    (directory / "two.py").write_text(
        "space = {'x': (0.0, 1.0)}\n"
        "def evaluate(config):\n"
        "    return {'loss': config['x'], 'size': 1 - config['x']}\n"
    )
    options = ("--trials", "4", "--executor", "serial", "--run", "r")
    said = hpdist("run", "two.py", "--objectives", "loss,size", *options)
    assert "Pareto front: 4 configurations, 4 shown" in said.out
    heading = said.out.splitlines()[1].split()
    assert heading == ["loss", "size", "budget", "config", "configuration"]
    shown = hpdist("results", "r", "--json").json
    assert shown["objectives"] == ["loss", "size"]
    assert sorted(shown["pareto_front"]) == [0, 1, 2, 3]
