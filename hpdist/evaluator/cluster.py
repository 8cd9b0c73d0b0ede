"""A cluster whose workers call a run function, which they find by its name."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpdist.cluster.local_cluster import own_cluster, reference_of
from hpdist.cluster.run_host import RunHost
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.objective.objective import FunctionObjective
from hpdist.evaluator.run_function import RunFunction

OPTIONS = ("job_timeout", "memory_limit", "prefetch", "isolation")

_SCRIPT = """\
import json

from hpdist import Worker
from hpdist.core.model.payload import Payload
from hpdist.core.objective.objective import load_objective
from hpdist.evaluator.run_function import RunFunction


class Jobs(Worker):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.call = RunFunction(load_objective({reference!r}), json.loads({options!r})).build()

    def compute(self, config_id, config, config_info, budget, working_directory):
        payload = Payload(config_id[2], config_id, config, budget, config_info=config_info)
        return self.call(payload, None)
"""


def jobs_cluster(
    function: RunFunction, directory: Path, workers: int, options: Mapping[str, Any]
) -> RunHost:
    """Return the executor, once what workers need is in ``directory``.

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
        named = json.dumps(function.options)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            "run_function_kwargs cannot be sent to workers", cause=str(error)
        ) from error
    RunDirectory(directory).create()
    script = directory / "jobs.py"
    script.write_text(_SCRIPT.format(reference=reference, options=named))
    host = own_cluster(f"{script}:Jobs", directory, workers, dict(options))
    host.serve(1, uuid.uuid4().hex)
    return host
