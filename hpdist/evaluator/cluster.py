"""A cluster whose workers call a run function, by its reference in the run directory."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpdist.cluster.local_cluster import own_cluster, reference_of
from hpdist.cluster.run_host import RunHost
from hpdist.cluster.worker import Worker
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.payload import Payload
from hpdist.core.objective.objective import FunctionObjective, load_objective
from hpdist.core.run.assembly import RunInstance
from hpdist.evaluator.run_function import RunFunction

OPTIONS = ("job_timeout", "memory_limit", "prefetch", "isolation")

#: Name of the file in the run directory with reference and options of the run function.
RUN_FUNCTION_FILE = "run_function.json"

WORKER = f"{__name__}:JobWorker"


class JobWorker(Worker):
    """Evaluates the jobs of a `ClusterEvaluator`: it calls the run function of a run directory."""

    def __init__(self, run_id: str, **options: Any) -> None:
        super().__init__(run_id, **options)
        self._call = _run_function(self.directory).build()

    def compute(
        self,
        config_id: tuple[int, int, int],
        config: dict[str, Any],
        config_info: dict[str, Any],
        budget: float,
        working_directory: str,
    ) -> Any:
        payload = Payload(config_id[2], config_id, config, budget, config_info=config_info)
        return self._call(payload, None)  # type: ignore[arg-type]  # run functions have no context


def _run_function(directory: Path | None) -> RunFunction:
    if directory is None or not (file := directory / RUN_FUNCTION_FILE).is_file():
        raise ConfigurationError(
            f"there is no {RUN_FUNCTION_FILE} in {directory or 'a run directory'}",
            cause="it names the function that the workers of an evaluator call",
            do=f"give the evaluator's run directory: hpdist worker {WORKER} --run DIR",
        )
    found = json.loads(file.read_text())
    return RunFunction(load_objective(found["reference"]), found["options"])


def jobs_cluster(
    function: RunFunction, directory: Path, workers: int, options: Mapping[str, Any]
) -> RunHost:
    """Write the reference of the run function to ``directory``, and return the executor.

    Raises
    ------
    ConfigurationError
        If workers cannot find the function by its name, or its options are no JSON.
    """
    if unknown := set(options) - set(OPTIONS):
        raise ConfigurationError(
            f"there is no option {sorted(unknown)[0]!r}",
            do=f"choose from run, {', '.join(OPTIONS)}",
        )
    reference = reference_of(FunctionObjective(function.function, 1))
    try:
        text = json.dumps({"reference": reference, "options": function.options})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            "run_function_kwargs cannot be sent to workers", cause=str(error)
        ) from error
    RunDirectory(directory).create()
    (directory / RUN_FUNCTION_FILE).write_text(text)
    host = own_cluster(WORKER, directory, workers, dict(options))
    host.take_over(RunInstance(uuid.uuid4().hex))
    return host
