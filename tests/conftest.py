"""What is missing on a machine is skipped visibly; where all is required, a skip is a failure."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Small matrices are no faster with threads, which take a core each while they wait for others.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Last, so that for hpdist the one that is installed is tested; benchmarks are not installed.
# Helpers of tests in several groups are in "support", the others beside the tests that use them.
sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).with_name("support"))]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a file together where several run side by side (``pytest -n 4``).

    They share what is dear to set up. The rows of the fault matrix share nothing and mostly wait.
    """
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if item.path.name != "test_matrix.py":
                item.add_marker(pytest.mark.xdist_group(str(item.path)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.skipped and os.environ.get("HPDIST_REQUIRE_ALL") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and all is required: {report.longrepr}"


@pytest.fixture(autouse=True)
def options_in_the_environment_are_put_back() -> Iterator[None]:
    """Commands that run in this process hand their options on to processes that they start."""
    before = _options()
    yield
    for name in _options().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _options() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("HPDIST_")}
