"""``hpdist folder``: a search in a shared directory."""

from __future__ import annotations

from pathlib import Path

from cli_scene import Commands

from hpdist import Results
from hpdist.cli.exit_codes import Exit

BOWL = "def f(config):\n    return config['x'] ** 2\n\nspace = {'x': (0.0, 1.0)}\n"


def test_processes_come_and_go(hpdist: Commands) -> None:
    Path("bowl.py").write_text(BOWL)
    options = ("--optimizer", "random", "--isolation", "none", "--workers", 1)
    said = hpdist("folder", "run", "bowl.py", "--trials", 6, "--max-evaluations", 2, *options)
    assert said.code == Exit.RESUMABLE
    assert len(Results.read("run").to_frame()) == 2
    said = hpdist("folder", "run", "bowl.py", "--trials", 6, *options, "--json")
    assert (said.code, said.json["counts"]["completed"]) == (Exit.DONE, 6)


def test_it_is_an_executor_of_run_and_resumed_as_others(hpdist: Commands) -> None:
    Path("bowl.py").write_text(BOWL)
    options = ("--optimizer", "random", "--isolation", "none", "--trials", 6, "--workers", 1)
    said = hpdist("folder", "run", "bowl.py", "--max-evaluations", 2, *options, "--lease", 9)
    assert said.code == Exit.RESUMABLE
    assert hpdist("resume", "run").code == Exit.DONE
    assert len(Results.read("run").to_frame()) == 6
    mine = ("run", "bowl.py", "--executor", "folder", "--run", "other", *options)
    said = hpdist(*mine, "--workers", 2, "--json")
    assert (said.code, said.json["counts"]["completed"]) == (Exit.DONE, 6)
    assert hpdist(*mine, "--port", 4711).code == Exit.USAGE


def test_what_has_no_effect_is_refused(hpdist: Commands) -> None:
    Path("bowl.py").write_text(BOWL)
    for wrong in (("--prefetch", 1), ("--new",), ("--closed", 3)):
        said = hpdist("folder", "run", "bowl.py", "--trials", 6, *wrong)
        assert said.code == Exit.USAGE
        assert wrong[0] in said.err
    Path("mine.py").write_text("from hpdist import Worker\nclass Mine(Worker): ...\nspace = {}")
    assert hpdist("folder", "run", "mine.py").code == Exit.USAGE
    assert not Path("run").exists()


def test_a_cluster_of_dask_or_ray_is_asked_for_by_options(hpdist: Commands) -> None:
    Path("bowl.py").write_text(BOWL)
    for wrong in (("--address", "tcp://a:1"), ("--resource", "GPU=1"), ("--resource", "GPU")):
        said = hpdist("run", "bowl.py", "--trials", 1, *wrong)
        assert said.code == Exit.USAGE
    said = hpdist(
        "run", "bowl.py", "--trials", 2, "--executor", "dask", "--workers", 1, "--optimizer",
        "random", "--json",
    )  # fmt: skip
    assert (said.code, said.json["counts"]["completed"]) == (Exit.DONE, 2)
