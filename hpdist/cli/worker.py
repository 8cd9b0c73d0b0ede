"""``hpdist worker``: evaluates configurations for a run."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hpdist.cli.command_decorators import Verb, example
from hpdist.cli.exit_codes import Exit, print_message
from hpdist.cli.options import device_option, evaluation_options
from hpdist.cli.parameter_types import RUN_PATH, SECONDS
from hpdist.cli.run_address import run_address_of, run_address_options, use_secrets
from hpdist.cli.script import Reference, load_script, names_function
from hpdist.cli.search_run import log_from
from hpdist.core.model.errors import ConfigurationError, NameServerNotFound

if TYPE_CHECKING:
    from hpdist.cluster.discovery import RunAddress
    from hpdist.cluster.worker import Worker
    from hpdist.cluster.worker_threads import WorkerSlots

#: The objective of engines, see `hpdist.views`.
ENGINE = "hpdist.views.engine:execute"


@click.command(
    cls=Verb,
    epilog=example(
        "hpdist worker train.py --run runs/mnist -n 4",
        "hpdist worker train.py --run runs/mnist -n 2 --devices cuda:0,cuda:1",
        "hpdist worker --engine --run runs/engines -n 4",
        "hpdist worker train.py --run-id mnist --nameserver 10.1.2.3:7711 --key-file key",
    ),
)
@click.argument("script", metavar="[SCRIPT[:FN]]", required=False)
@run_address_options
@click.option(
    "--engine",
    is_flag=True,
    help="Run the code of hpdist.views.Client, instead of a SCRIPT: "
    "everyone who has the run's key can run any code here. Prefetches one task, see --prefetch.",
)
@click.option(
    "-n", "--slots", type=click.IntRange(min=1), help="Evaluations at once. Default: 1, or one "
    "on each device.",
)  # fmt: skip
@device_option
@click.option("--timeout", type=SECONDS, help="Time without a job after which it leaves.")
@evaluation_options
@click.option(
    "--directory", type=RUN_PATH,
    help="Directory of the evaluations' files. Default: the run directory, or a temporary one.",
)  # fmt: skip
@click.option("--from-parent", is_flag=True, hidden=True)
def worker(
    script: str | None,
    run: str | None,
    run_id: str | None,
    nameserver: str | None,
    key_file: str | None,
    tls_dir: str | None,
    wait: float,
    from_parent: bool,
    **values: Any,
) -> Exit | int:
    """Evaluate configurations for a run.

    FN is a function, or a subclass of hpdist.Worker. Ctrl-C finishes running evaluations
    and leaves; a second one, or SIGTERM, releases them at once.
    """
    from hpdist.cluster.transport.pyro import harden_process
    from hpdist.cluster.waiting import wait_for
    from hpdist.cluster.worker_threads import WorkerSlots

    harden_process()
    use_secrets(key_file, tls_dir)
    log_from(logging.INFO)
    engine = bool(values.pop("engine"))
    values["prefetch"] = _prefetch_of(engine, values["prefetch"])
    reference = Reference.parse(_reference_text(script, engine))
    run_address = run_address_of(run, run_id, nameserver, reference.directory)
    if from_parent:
        _take_key(run_address)
    workers = _make_workers(reference, run_address, values)
    slots = WorkerSlots(workers, run_address)
    parent_gone = threading.Event()
    if from_parent:
        threading.Thread(target=_watch_parent, args=(parent_gone, slots), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.DONE))  # nothing is assigned yet
    found = wait_for(
        run_address,
        lambda: _nameserver(run_address, engine),
        timeout_s=wait,
        give_up=lambda: parent_gone.is_set() or _is_over(run_address),
    )
    if parent_gone.is_set():
        return Exit.DONE
    if found is None or _is_over(run_address):
        print_message(f"run {run_address.run_id} has finished: there is nothing to do")
        return Exit.DONE
    print_message(
        f"worker of run {run_address.run_id}, nameserver at {found}, slots: {len(workers)}"
    )
    return slots.run()


def _nameserver(run_address: RunAddress, engine: bool) -> str:
    """Return the address of the nameserver if it answers; that of engines is their client."""
    from hpdist.cluster.waiting import find_nameserver

    try:
        return find_nameserver(run_address)
    except NameServerNotFound as error:
        if not engine:
            raise
        do = f"in Python: hpdist.views.Client({str(run_address.directory)!r})"
        raise NameServerNotFound(f"no client serves run {run_address.run_id!r}", do=do) from error


def _prefetch_of(engine: bool, prefetch: int) -> int:
    """Return the number of prefetched tasks; for engines 1 unless --prefetch is given."""
    source = click.get_current_context().get_parameter_source("prefetch")
    return 1 if engine and source is ParameterSource.DEFAULT else prefetch


def _reference_text(script: str | None, engine: bool) -> str:
    """Return the reference of the objective: the script, or the engine's function."""
    if engine == (script is not None):
        raise ConfigurationError(
            "a worker evaluates either a SCRIPT or, with --engine, what a client sends",
            do="hpdist worker SCRIPT --run DIR, or: hpdist worker --engine --run DIR",
        )
    return ENGINE if script is None else script


def _make_workers(
    reference: Reference, run_address: RunAddress, values: dict[str, Any]
) -> list[Worker]:
    from hpdist.cluster.worker import Worker

    devices = values["devices"] or [""]
    count = values["slots"] or len(devices)
    options = {
        name: values[name]
        for name in ("timeout", "isolation", "job_timeout", "memory_limit", "prefetch")
    }
    options["directory"] = values["directory"] or run_address.directory
    kind: Any = Worker
    # A function is imported in the evaluating process only: it may need much memory.
    name = reference.with_name(reference.name) if names_function(reference) else None
    if name is None:
        loaded = load_script(reference)
        kind, name = (loaded.target, None) if loaded.is_worker else (Worker, loaded.reference)
    made = []
    for index in range(count):
        one = _make(kind, run_address.run_id, {**options, "device": devices[index % len(devices)]})
        if name is not None:
            one.initialize(name)
        made.append(one)
    return made


def _make(kind: Any, run_id: str, options: dict[str, Any]) -> Worker:
    try:
        made: Worker = kind(run_id, **options)
    except TypeError as error:
        raise ConfigurationError(
            f"{kind.__name__} cannot be made: {error}",
            do="def __init__(self, *args, **kwargs): super().__init__(*args, **kwargs)",
        ) from error
    return made


def _take_key(run_address: RunAddress) -> None:
    """Read the key from the process that started this one."""
    if "HPDIST_KEY_FILE" not in os.environ:
        os.environ["HPDIST_KEY"] = sys.stdin.readline().strip()
    run_address.key()  # takes it out of the environment again


def _watch_parent(parent_gone: threading.Event, slots: WorkerSlots) -> None:
    """Leave when the parent process is gone, which closes its end of the pipe."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    parent_gone.set()
    slots.leave()


def _is_over(run_address: RunAddress) -> bool:
    """Return True if the run directory shows that the run has finished."""
    from hpdist.cli.run_status import has_finished

    directory = run_address.directory
    if directory is None or not has_finished(Path(directory)):
        return False
    from hpdist.core.model.errors import TransportError

    try:
        run_address.dispatcher()
    except TransportError:
        return True
    return False
