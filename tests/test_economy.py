"""What ``pytest`` tries, what it leaves to ``pytest -m slow``, and what collecting costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent

#: What takes long to import, and is imported by the tests that need it, when they run.
HEAVY = ("benchmarks", "dask", "distributed", "IPython", "matplotlib", "mpi4py", "ray", "sklearn")

#: One of each kind that ``pytest`` tries: a cluster, a death, each executor, examples, the README.
REPRESENTATIVES = (
    "cluster/test_cluster.py::",
    "faults/test_matrix.py::test_a_fault_comes_to_what_is_expected[SIGKILL worker: M4 running]",
    "faults/test_matrix.py::test_a_fault_comes_to_what_is_expected[SIGKILL master, restart: M4",
    *(
        f"executors/test_every_executor.py::test_the_same_search_comes_to_the_same[{executor}-"
        for executor in ("serial", "thread", "process", "loky", "dask", "ray", "mpi", "cluster")
    ),
    "integration/test_examples.py::test_three_processes",
    "integration/test_readme.py::test_three_terminals_and_what_follows",
)

#: How many tests ``pytest`` may try; who needs more first looks what can be one claim.
MOST_QUICK = 4100

COLLECT = """
import json, sys, pytest

class Listener:
    def pytest_collection_finish(self, session):
        tests = [
            {
                "id": item.nodeid,
                "slow": item.get_closest_marker("slow") is not None,
            }
            for item in session.items
        ]
        print("TESTS " + json.dumps([tests, sorted(sys.modules)]))

sys.exit(pytest.main(["--collect-only", "-s", "-m", "", "-p", "no:cacheprovider"], [Listener()]))
"""


@pytest.fixture(scope="module")
def collected() -> tuple[list[dict[str, Any]], set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", COLLECT], cwd=TESTS.parent, capture_output=True, text=True
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("TESTS ")] or [""]
    assert line, done.stdout[-3000:] + done.stderr[-3000:]
    tests, modules = json.loads(line.removeprefix("TESTS "))
    return tests, set(modules)


@pytest.fixture(scope="module")
def quick(collected: tuple[list[dict[str, Any]], set[str]]) -> list[str]:
    return [test["id"] for test in collected[0] if not test["slow"]]


def test_collecting_imports_nothing_heavy(collected: tuple[list[Any], set[str]]) -> None:
    assert collected[1] & set(HEAVY) == set()


def test_ids_are_the_same_in_every_process(collected: tuple[list[Any], set[str]]) -> None:
    found = [test["id"] for test in collected[0]]
    assert [name for name in found if re.search(r"\bat 0x|0x[0-9a-f]{8}", name)] == []
    assert len(set(found)) == len(found)


def test_each_kind_has_a_test_that_is_always_tried(quick: list[str]) -> None:
    for start in REPRESENTATIVES:
        assert any(name.startswith(f"tests/{start}") for name in quick), start


def test_each_group_has_tests_that_are_always_tried(quick: list[str]) -> None:
    groups = {path.parent.relative_to(TESTS.parent) for path in TESTS.rglob("test_*.py")}
    tried = {Path(name.partition("::")[0]).parent for name in quick}
    assert groups - tried == set()


def test_few_are_always_tried(quick: list[str]) -> None:
    assert len(quick) <= MOST_QUICK


def test_the_continuous_integration_tries_both() -> None:
    commands = (TESTS.parent / ".ci" / "run").read_text().splitlines()
    assert "pytest --durations=20" in commands
    assert "pytest -m slow -n 4 --dist loadgroup --durations=20" in commands
