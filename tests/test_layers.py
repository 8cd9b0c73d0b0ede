"""Who may import whom: layers, purity, and where other packages are used."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hpdist"

#: Lowest first. A module imports from lower layers and its own; every module has its place here.
LAYERS = {
    "values and ports": """
        errors checks model events orders record_json queue_sizes parameters spec space points
        normalise
        clocks inbox source optimizers.base multi_fidelity.base executors.base executors
        """,
    "machines": """
        optimizers optimizers.acquisition optimizers.bohb optimizers.cma_es optimizers.dehb
        optimizers.densities optimizers.density_ratio optimizers.embedding optimizers.etpe
        optimizers.forest optimizers.gaussian_process
        optimizers.gp optimizers.grid optimizers.history optimizers.kernel
        optimizers.model_based optimizers.multi_point optimizers.one_by_one optimizers.parego
        optimizers.priorband optimizers.random optimizers.sobol
        optimizers.surrogate optimizers.tpe optimizers.transform optimizers.user_prior
        multi_fidelity multi_fidelity.asha multi_fidelity.bracket multi_fidelity.budgets
        multi_fidelity.custom multi_fidelity.cycle multi_fidelity.halving
        multi_fidelity.hyperband multi_fidelity.plan multi_fidelity.single
        descriptions early_stopping fronts ledger objectives pareto standings study study_checks
        dispatch_book dispatch_state handout retrying
        summary evaluations forecast run_view progress_text
        """,
    "files": """
        disk durable_files journal_format journal_reader journal run_directory results resuming
        recomputing
        """,
    "attempts": """
        frames context objective objective_names attempt attempt_directories attempt_limits
        memory_watch inline_runner
        child child_attempt child_messages child_process child_runner run_function
        """,
    "runs": """
        loop interrupts progress run_names search_spec transfer
        executors.choice executors.coroutines executors.dask executors.far executors.far_runner
        executors.far_side
        executors.fields executors.local executors.loky executors.loky_pool
        executors.loky_process executors.mpi executors.ray executors.shipping executors.slot_pool
        executors.mailbox executors.messages
        executors.remote executors.replies executors.serial executors.slot
        """,
    "cluster": """
        cluster cluster.address cluster.background cluster.channel cluster.commands
        cluster.compute
        cluster.diagnosis cluster.dispatcher cluster.encryption cluster.ends cluster.guests
        cluster.hands
        cluster.job_stream cluster.link
        cluster.locate cluster.master cluster.names cluster.nameserver cluster.option_checks
        cluster.pyro
        cluster.pyro_client cluster.pyro_server cluster.registry cluster.result_views
        cluster.run_host cluster.server cluster.service cluster.session cluster.spool
        cluster.submissions cluster.tls
        cluster.waiting cluster.wire cluster.worker cluster.worker_processes
        cluster.worker_slots
        """,
    "front doors": """
        hpdist local_run optimize own_cluster demo
        callbacks evaluator evaluator.arguments evaluator.base evaluator.board evaluator.callbacks
        evaluator.cluster evaluator.job
        evaluator.kinds evaluator.place evaluator.session evaluator.storage problem profiling
        search search_table
        folder folder.election folder.holder folder.mail folder.participant folder.pipeline
        folder.runtime folder.search folder.shared_state folder.trial
        views views.balanced views.calls views.client views.direct views.engine views.long_calls
        views.magics views.pickled views.pieces views.policies views.result views.tasks views.values
        plot plot.activity plot.canvas plot.loads plot.timetable plot.trajectory plot.utilization
        cli cli.certificates cli.command_file cli.control cli.demo cli.failures cli.folder
        cli.journal
        cli.keys cli.main cli.master cli.nameserver cli.place cli.plan cli.results cli.resume
        cli.run cli.run_state cli.script cli.searching cli.status cli.tables cli.values cli.verb
        cli.worker
        testing testing.executors testing.iter_generators testing.optimizers testing.simulate
        testing.simulated_disk testing.simulated_time
        """,
}

#: These decide, and do nothing else: no clock, no file, no thread, no log.
PURE = {
    *(
        "errors",
        "model",
        "events",
        "record_json",
        "study",
        "study_checks",
        "ledger",
        "handout",
        "retrying",
    ),
    *("dispatch_book", "dispatch_state", "summary", "evaluations", "forecast", "run_view"),
    *("clocks", "progress_text", "queue_sizes", "parameters", "points", "normalise"),
}
PURE_PACKAGES = ("multi_fidelity", "optimizers")
IMPURE = {"threading", "socket", "time", "queue", "os", "random", "logging", "subprocess"}

#: Where each other package may be imported: a module, or a package with a dot behind it.
OTHERS = {
    "Pyro4": "cluster.",
    "serpent": "cluster.",
    "msgpack": "cluster.",
    "click": "cli.",
    "rich": "cli. progress evaluator.callbacks",
    "pandas": "results multi_fidelity.cycle plot.activity views.result views.values search_table",
    "matplotlib": "plot.",
    "psutil": "memory_watch cluster.address testing.executors",
    "cryptography": "cli.certificates",
    "cloudpickle": "child_runner cluster.background views.pickled",
    "ConfigSpace": "spec space testing.optimizers",
    "scipy": "optimizers.",
    "numpy": "study early_stopping standings pareto fronts ledger parameters space points spec "
    "optimizers. testing. demo views.values",
    "sklearn": "demo optimizers.forest",
    "cmaes": "optimizers.cma_es",
    "loky": "executors.loky_pool",
    "distributed": "executors.dask",
    "ray": "executors.ray",
    "mpi4py": "executors.mpi",
    "tqdm": "evaluator.callbacks",
}

#: Slow to import, so only inside the functions that need them; `spec` is imported that way itself.
SLOW = {
    *("ConfigSpace", "scipy", "pandas", "rich", "sklearn", "psutil", "loky", "matplotlib"),
    *("distributed", "ray", "mpi4py"),
}
SLOW_ALLOWED = {("spec", "ConfigSpace")}

#: Imports of our own modules inside functions, each with a reason.
LAZY = {
    ("space", "spec"): "imports ConfigSpace",
    ("results", "fronts"): "imports numpy",
    ("optimize", "own_cluster"): "imports Pyro4",
    ("optimize", "folder.participant"): "imports Pyro4",
}


@dataclass
class Imports:
    """What a module imports when it is imported (``now``) and inside functions (``later``)."""

    now: set[str] = field(default_factory=set)
    later: set[str] = field(default_factory=set)


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts[1:]) or "hpdist"


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}
LAYER = {name: index for index, names in enumerate(LAYERS.values()) for name in names.split()}


def imported(node: ast.stmt) -> Iterator[str]:
    """The full names that an import statement names, as modules where they are modules."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports are absolute"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner.removeprefix("hpdist.") in FILES else str(node.module)


def collect(node: ast.AST, found: Imports, *, inside: bool = False) -> Imports:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            (found.later if inside else found.now).update(imported(child))
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        collect(child, found, inside=inside or function)
    return found


IMPORTS = {name: collect(ast.parse(file.read_text()), Imports()) for name, file in FILES.items()}


def ours(names: set[str]) -> set[str]:
    """Of some imported names, our own modules; the package itself is named ``hpdist``."""
    return {name.removeprefix("hpdist.") for name in names if (name + ".").startswith("hpdist.")}


def others(names: set[str]) -> set[str]:
    """Of some imported names, the top-level packages that are neither ours nor Python's."""
    tops = {name.partition(".")[0] for name in names}
    return tops - {"hpdist"} - sys.stdlib_module_names


def within(name: str, places: str) -> bool:
    return any(
        name == place or (place.endswith(".") and (name + ".").startswith(place))
        for place in places.split()
    )


# ------------------------------------------------------------------ layers


def test_every_module_has_its_place_in_one_layer() -> None:
    placed = [name for names in LAYERS.values() for name in names.split()]
    assert len(placed) == len(set(placed))
    new, gone = set(FILES) - set(placed), set(placed) - set(FILES)
    assert not new, f"add to LAYERS: {sorted(new)}"
    assert not gone, f"remove from LAYERS: {sorted(gone)}"


@pytest.mark.parametrize("name", FILES)
def test_a_module_imports_from_lower_layers_and_its_own(name: str) -> None:
    imports = IMPORTS[name]
    above = [
        each
        for each in ours(imports.now | imports.later)
        if LAYER.get(each, -1) > LAYER.get(name, len(LAYERS))
    ]
    assert not above, f"{name} imports {sorted(above)} from above"


def test_nobody_inside_takes_names_from_the_package_itself() -> None:
    takers = [name for name, each in IMPORTS.items() if "hpdist" in ours(each.now | each.later)]
    assert takers == []


def edges(name: str, *, lazy: bool) -> set[str]:
    """The modules that importing ``name`` imports, with the packages that they lie in."""
    imports = IMPORTS[name]
    found = set()
    for other in ours(imports.now | (imports.later if lazy else set())):
        found.add(other)
        package = other.rpartition(".")[0]
        if package and package != name.rpartition(".")[0] and package != name:
            found.add(package)
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


@pytest.mark.parametrize("lazy", [False, True], ids=["on import", "with lazy imports"])
def test_there_is_no_cycle(lazy: bool) -> None:
    found = cycle({name: edges(name, lazy=lazy) for name in FILES})
    assert not found, " -> ".join(found)


def test_a_cycle_would_be_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert cycle(graph) == ["b", "c", "b"]
    assert cycle(graph | {"c": {"d"}}) == []


def test_our_own_modules_are_imported_inside_functions_for_a_reason_only() -> None:
    lazy = {
        (name, other)
        for name, each in IMPORTS.items()
        if not within(name, "cli.")
        for other in ours(each.later)
    }
    assert lazy == set(LAZY)


# ------------------------------------------------------------------ purity and other packages


def is_pure(name: str) -> bool:
    return name in PURE or name.partition(".")[0] in PURE_PACKAGES


@pytest.mark.parametrize("name", [name for name in FILES if is_pure(name)])
def test_a_pure_module_touches_no_clock_file_thread_or_log(name: str) -> None:
    imports = IMPORTS[name]
    tops = {each.partition(".")[0] for each in imports.now | imports.later}
    assert not tops & IMPURE


def test_the_pure_modules_exist() -> None:
    assert set(FILES) >= PURE


@pytest.mark.parametrize("name", FILES)
def test_other_packages_are_used_in_their_places_only(name: str) -> None:
    imports = IMPORTS[name]
    strange = {
        other
        for other in others(imports.now | imports.later)
        if not within(name, OTHERS.get(other, ""))
    }
    assert not strange, f"{name} imports {sorted(strange)}"


def test_what_is_slow_to_import_is_imported_where_it_is_needed() -> None:
    early = {
        (name, other)
        for name, each in IMPORTS.items()
        if not within(name, "cli.")
        for other in others(each.now) & SLOW
    }
    assert early == SLOW_ALLOWED
