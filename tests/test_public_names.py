"""The names that ``import hpdist`` promises, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

import hpdist

NAMES = {
    "Categorical",
    "Constant",
    "Context",
    "Dispatcher",
    "Failure",
    "FailureKind",
    "Float",
    "HpdistError",
    "Int",
    "Job",
    "Limits",
    "Master",
    "MedianRule",
    "NameServer",
    "Ordinal",
    "Results",
    "Retry",
    "RungRule",
    "Space",
    "Study",
    "Success",
    "Timing",
    "Trial",
    "Worker",
    "__version__",
    "maximize",
    "minimize",
    "transfer",
}


def loaded_after(code: str) -> set[str]:
    """The top-level packages, and the modules of hpdist, that ``code`` imports."""
    code += "\nimport json, sys; json.dump(list(sys.modules), sys.stdout)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    return set(json.loads(done.stdout))


def test_the_public_names_are_these() -> None:
    assert set(hpdist.__all__) == NAMES
    assert set(dir(hpdist)) >= NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_public_name_can_be_imported(name: str) -> None:
    value = getattr(hpdist, name)
    assert value is getattr(hpdist, name)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__doc__


def test_the_version_is_that_of_the_package() -> None:
    assert hpdist.__version__ == version("hpdist")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Optimiser'"):
        hpdist.Optimiser  # noqa: B018


def test_importing_the_package_imports_nothing_else() -> None:
    loaded = loaded_after("import hpdist")
    assert not loaded & {"numpy", "ConfigSpace", "Pyro4", "scipy", "pandas", "rich", "cloudpickle"}
    assert {name for name in loaded if name.startswith("hpdist")} == {"hpdist"}


def test_the_values_need_neither_numpy_nor_configspace() -> None:
    loaded = loaded_after("from hpdist import Limits, Failure, HpdistError, Context, Success")
    assert not loaded & {"numpy", "ConfigSpace", "Pyro4", "pandas"}


def test_the_front_door_needs_no_pyro_no_configspace_and_no_pandas() -> None:
    loaded = loaded_after("from hpdist import minimize, Study, Results, Float")
    assert not loaded & {"ConfigSpace", "Pyro4", "scipy", "pandas", "rich", "sklearn"}


@pytest.mark.parametrize("configured", [False, True])
def test_warnings_are_seen_once_whether_logging_is_configured_or_not(configured: bool) -> None:
    code = "import hpdist, logging\n"
    code += "logging.basicConfig(format='<%(message)s>')\n" if configured else ""
    code += "logging.getLogger('hpdist.x').warning('no worker')\n"
    code += "logging.getLogger('hpdist.x').info('a worker')\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == ("<no worker>\n" if configured else "no worker\n")


def test_a_handler_of_the_packages_own_logger_receives_warnings_alone() -> None:
    code = (
        "import hpdist, logging, sys\n"
        "logging.getLogger('hpdist').addHandler(logging.StreamHandler(sys.stdout))\n"
        "logging.getLogger('hpdist.x').warning('no worker')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("no worker\n", "")


def test_the_package_has_a_null_handler() -> None:
    code = (
        "import hpdist, logging; print(logging.getLogger('hpdist').handlers[0].__class__.__mro__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "logging.NullHandler" in done.stdout
