"""Who may import whom: the order of the packages, purity, and where other packages are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hpdist"

#: Lowest first; each imports only what stands before it.
ORDER = [
    *("core", "core.model", "core.objective", "core.space", "multi_fidelity", "optimizers"),
    *("core.study", "core.dispatch", "core.journal", "core.results", "core.attempt"),
    *("core.remote", "core.run"),
    *("executors", "executors.backends", "executors.registry"),
    *("cluster.transport", "cluster"),
    *("evaluator", "folder", "views", "plot", "testing"),
    *("optimize", "cli", "hpdist"),
]


#: These decide, and do nothing else: no clock, no file, no thread, no log; but for PORTS.
PURE = ("core.model", "core.study", "core.dispatch", "multi_fidelity", "optimizers", "core.space")
PORTS = {("core.model.validation", "os"): "os.fspath"}
IMPURE = {"threading", "socket", "time", "queue", "os", "random", "logging", "subprocess"}

#: Where each other package may be imported: modules, or packages with everything in them.
OTHERS = {
    "Pyro4": "cluster.transport",
    "serpent": "cluster.transport",
    "msgpack": "cluster.transport",
    "click": "cli",
    "rich": "cli core.results.progress_display evaluator.callbacks",
    "pandas": "core.results multi_fidelity.cycle plot.plot_table views evaluator.search_table",
    "matplotlib": "plot",
    "psutil": "core.attempt.memory_watch cluster.transport.address testing.executors",
    "cryptography": "cli.certificates",
    "cloudpickle": "core.attempt.pickled_objective cluster.worker_process views.pickled",
    "ConfigSpace": "core.space.configspace testing.optimizers",
    "scipy": "optimizers",
    "numpy": "core.objective.pareto core.space core.study core.results.pareto_front optimizers "
    "testing cli.demo_objective views.values",
    "sklearn": "cli.demo_objective optimizers.forest",
    "cmaes": "optimizers.cma_es",
    "loky": "executors.loky_process",
    "distributed": "executors.backends.dask",
    "ray": "executors.backends.ray",
    "mpi4py": "executors.backends.mpi",
    "tqdm": "evaluator.callbacks",
}

#: Slow to import, so only inside the functions that need them.
SLOW = {
    *("ConfigSpace", "scipy", "pandas", "rich", "sklearn", "psutil", "loky", "matplotlib"),
    *("distributed", "ray", "mpi4py"),
}
SLOW_ALLOWED = {("core.space.configspace", "ConfigSpace")}  # is itself imported that way

#: Imports of our own modules inside functions, each with a reason.
LAZY = {
    ("core.space.space", "core.space.configspace"): "imports ConfigSpace",
    ("core.results.results", "core.results.pareto_front"): "imports numpy",
    ("optimize", "cluster.local_cluster"): "imports Pyro4",
    ("optimize", "cluster.service"): "imports Pyro4",
    ("optimize", "folder.search"): "is for executor='folder' only",
}


@dataclass
class Imports:
    """What a module imports: when it is imported, inside functions, and for its types."""

    now: set[str] = field(default_factory=set)
    later: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)

    @property
    def all(self) -> set[str]:
        return self.now | self.later | self.types


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts[1:]) or "hpdist"


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imported(node: ast.stmt) -> Iterator[str]:
    """The full names that an import statement names, as modules where they are modules."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports are absolute"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner.removeprefix("hpdist.") in FILES else str(node.module)


def collect(node: ast.AST, found: Imports, kind: str = "now") -> Imports:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            getattr(found, kind).update(imported(child))
        inner = kind
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            inner = "types"
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = "later"
        collect(child, found, inner)
    return found


IMPORTS = {name: collect(ast.parse(file.read_text()), Imports()) for name, file in FILES.items()}


def ours(names: set[str]) -> set[str]:
    """Of some imported names, our own modules; the package itself is named ``hpdist``."""
    return {name.removeprefix("hpdist.") for name in names if (name + ".").startswith("hpdist.")}


def others(names: set[str]) -> set[str]:
    """Of some imported names, the top-level packages that are neither ours nor Python's."""
    tops = {name.partition(".")[0] for name in names}
    return tops - {"hpdist"} - sys.stdlib_module_names


def within(name: str, places: str | tuple[str, ...]) -> bool:
    listed = places.split() if isinstance(places, str) else places
    return any((name + ".").startswith(place + ".") for place in listed)


def package(name: str) -> str | None:
    """The longest entry of ORDER that a module belongs to."""
    return max((each for each in ORDER if within(name, each)), key=len, default=None)


# ------------------------------------------------------------------ packages


def test_a_package_imports_only_packages_below_it() -> None:
    upwards = [
        f"{name} imports {other}"
        for name, imports in IMPORTS.items()
        for other in ours(imports.all)
        if ORDER.index(package(other)) > ORDER.index(package(name))
    ]
    assert upwards == []


def test_the_root_holds_packages_and_little_else() -> None:
    found = {each.name for each in PACKAGE.iterdir() if each.name != "__pycache__"}
    files = {name for name in found if not (PACKAGE / name).is_dir()}
    assert files == {"__init__.py", "optimize.py", "py.typed"}
    assert found - files == {each for each in ORDER if "." not in each} - {"optimize", "hpdist"}


def docstring(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text())) or ""


def test_every_package_says_what_lives_in_it() -> None:
    silent = [
        name
        for name, file in FILES.items()
        if file.name == "__init__.py"
        and len(ast.get_docstring(ast.parse(file.read_text())) or "") < 80
    ]
    assert silent == []


def edges(name: str, *, lazy: bool) -> set[str]:
    """The modules that importing ``name`` imports, with the packages that they lie in."""
    imports = IMPORTS[name]
    found = set()
    for other in ours(imports.all if lazy else imports.now):
        found.add(other)
        home = other.rpartition(".")[0]
        if home and not within(name, home):
            found.add(home)
    return found - {name}


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return a cycle of the graph, empty if it has none."""
    done: set[str] = set()

    def search(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph[name]):
            if found := search(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in graph if (found := search(name, []))), [])


@pytest.mark.parametrize("lazy", [False, True], ids=["on import", "with lazy and typing imports"])
def test_there_is_no_cycle(lazy: bool) -> None:
    reexports = {"evaluator", "hpdist"} if lazy else set()  # their names are imported when used
    graph = {name: edges(name, lazy=lazy) - reexports for name in FILES}
    found = cycle({name: set() if name in reexports else each for name, each in graph.items()})
    assert not found, " -> ".join(found)


def test_a_cycle_would_be_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert cycle(graph) == ["b", "c", "b"]
    assert cycle(graph | {"c": {"d"}}) == []


def test_our_own_modules_are_imported_inside_functions_for_a_reason_only() -> None:
    lazy = {
        (name, other)
        for name, each in IMPORTS.items()
        if not within(name, "cli")
        for other in ours(each.later)
    }
    assert lazy == set(LAZY)


# ------------------------------------------------------------------ purity and other packages


def test_a_pure_package_touches_no_clock_file_thread_or_log() -> None:
    touched = {
        (name, top)
        for name, each in IMPORTS.items()
        if within(name, PURE)
        for top in IMPURE & {one.partition(".")[0] for one in each.all}
    }
    assert touched == set(PORTS)


def test_other_packages_are_used_in_their_places_only() -> None:
    strange = {
        (name, other)
        for name, each in IMPORTS.items()
        for other in others(each.all - each.types)
        if not within(name, OTHERS.get(other, ()))
    }
    assert strange == set()


def test_what_is_slow_to_import_is_imported_where_it_is_needed() -> None:
    early = {
        (name, other)
        for name, each in IMPORTS.items()
        if not within(name, "cli")
        for other in others(each.now) & SLOW
    }
    assert early == SLOW_ALLOWED


def test_a_shared_folder_needs_no_pyro() -> None:
    code = "import sys, hpdist.folder.participant, hpdist.folder.search; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert "hpdist.folder.search" in loaded
    assert not {name for name in loaded if within(name, "Pyro4 hpdist.cluster")}
