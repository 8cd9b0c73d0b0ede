"""Workers that the cluster's tests subclass; imported in their child processes too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hpdist import Context, Worker


class LoadsData(Worker):
    """Notes in a file which processes made it."""

    def __init__(self, *args: Any, log: str, fail_in_child: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.log = Path(log)
        if fail_in_child and self.log.exists():
            raise OSError("the data set is gone")
        with self.log.open("a") as file:
            file.write(f"{os.getpid()}\n")

    def compute(
        self,
        config_id: tuple[int, int, int],
        config: dict[str, Any],
        config_info: dict[str, Any],
        budget: float,
        working_directory: str,
    ) -> dict[str, Any]:
        info = {
            "pid": os.getpid(),
            "config_id": list(config_id),
            "origin": config_info["origin"],
            "budget": budget,
            "directory": working_directory,
        }
        return {"loss": config["x"], "info": info}


class Continues(Worker):
    """Counts in a file how often this configuration was trained."""

    def compute(
        self,
        config_id: tuple[int, int, int],
        config: dict[str, Any],
        config_info: dict[str, Any],
        budget: float,
        working_directory: str,
    ) -> dict[str, Any]:
        file = Path(working_directory) / "deep" / "times"
        file.parent.mkdir(exist_ok=True)
        times = 1 + (int(file.read_text()) if file.exists() else 0)
        file.write_text(str(times))
        return {"loss": config["x"], "info": {"times": times}}


class HoldsALock(Continues):
    """Cannot be made anew elsewhere: its argument cannot be sent."""

    def __init__(self, run_id: str, lock: Any, **kwargs: Any) -> None:
        super().__init__(run_id, **kwargs)
        self.lock = lock

    def compute(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        with self.lock:
            return super().compute(*args, **kwargs) | {"info": {"pid": os.getpid()}}


class HasNothingToDo(Worker):
    """Overrides nothing."""


def with_context(config: dict[str, Any], budget: float, ctx: Context) -> dict[str, Any]:
    return {"loss": config["x"], "info": {"pid": os.getpid(), "trial": ctx.trial_id}}


def with_budget(config: dict[str, Any], budget: float) -> dict[str, Any]:
    return {"loss": config["x"], "info": {"pid": os.getpid(), "budget": budget}}


def with_config(config: dict[str, Any]) -> dict[str, Any]:
    return {"loss": config["x"], "info": {"pid": os.getpid()}}
