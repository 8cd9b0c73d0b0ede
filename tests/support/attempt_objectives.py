"""Objectives, well behaved and poisonous, that tests run in child processes."""

# ruff: noqa: T201

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpdist.core.model.payload import Payload
from hpdist.core.objective.context import Context


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def spin() -> None:
    while True:
        pass


def fill_memory() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(16 * 2**20))
        time.sleep(0.005)


def hold_interpreter_lock() -> None:
    ctypes.PyDLL(None).sleep(60)


def print_much() -> None:
    block = "x" * (2**20 - 1)
    for _ in range(100):
        print(block)
    print("the very end")


def _pipe_to_parent() -> int:
    """Find the descriptor that a nosy objective could find as well."""
    for fd in range(3, 100):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:"):
                os.write(fd, b"")
                return fd
        except OSError:
            continue  # not open, or not for writing
    raise AssertionError("no pipe to the parent")


def forge(message: object) -> None:
    body = json.dumps(message).encode()
    os.write(_pipe_to_parent(), len(body).to_bytes(4, "big") + body)
    time.sleep(60)


def fork_and_die() -> None:
    if os.fork() == 0:
        time.sleep(60)  # it would hold the pipes open if it kept them
        os._exit(0)
    os._exit(4)


def close_everything() -> None:
    os.closerange(3, 1000)
    time.sleep(60)


def catch_sigterm() -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: print("saving", flush=True))
    spin()


def exhaust() -> None:
    raise MemoryError("no room for the batch")


POISONS: dict[str, Callable[[], object]] = {
    "segfault": lambda: ctypes.string_at(0),
    "os._exit": lambda: os._exit(3),
    "os._exit(0)": lambda: os._exit(0),
    "sys.exit": lambda: sys.exit("enough"),
    "sigkill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "abort": os.abort,
    "fork_and_die": fork_and_die,
    "close_everything": close_everything,
    "memory": fill_memory,
    "memory_error": exhaust,
    "spin": spin,
    "hold_interpreter_lock": hold_interpreter_lock,
    "catch_sigterm": catch_sigterm,
    "print_much": print_much,
    "none": lambda: None,
    "text": lambda: "0.5",
    "complex": lambda: 1j,
    "nan": lambda: float("nan"),
    "inf": lambda: {"loss": float("inf")},
    "deep": lambda: {"loss": 1.0, "info": nested(100_000)},
    "large": lambda: {"loss": 1.0, "info": "x" * 50_000_000},
    "many": lambda: {"loss": 1.0, "info": list(range(1_000_000))},
    "huge_int": lambda: {"loss": 1.0, "info": 10**5000},
    "bytes": lambda: {"loss": 1.0, "info": {"raw": b"x"}},
    "rubbish": lambda: forge("not a message"),
    "rubbish_depth": lambda: os.write(_pipe_to_parent(), (10**5).to_bytes(4, "big") + b"[" * 10**5),
    "oversized": lambda: os.write(_pipe_to_parent(), b"\xff\xff\xff\xff"),
    "forged_other": lambda: forge({"done": [10**6, {"loss": 0.0}]}),
    "forged_report": lambda: forge({"report": [1, 1, "low"]}),
    "forged_kind": lambda: forge({"done": [1, {"failure": "lost", "message": "m"}]}),
    "forged_loss": lambda: forge({"done": [1, {"loss": "0.1"}]}),
    "forged_shape": lambda: forge({"done": [1, [1, 2]]}),
    "recursion": lambda: recurse(0),
}


def recurse(depth: int) -> int:
    return recurse(depth + 1)


def poisoned(config: dict[str, Any]) -> object:
    """Take the poison that the configuration names, if any."""
    if "poison" in config:
        return POISONS[config["poison"]]()
    return {"loss": 1.0, "pid": os.getpid()}


def family(config: dict[str, Any]) -> object:
    """Leave a grandchild behind, its process id in a file, and end as the configuration says."""
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(config["file"]).write_text(str(grandchild.pid))
    if config["then"] == "die":
        os._exit(1)
    time.sleep(60)
    return 0.0


def talkative(config: dict[str, Any], budget: float, ctx: Context) -> object:
    """Print, report, look at what is known, and wait to be stopped if asked to."""
    print(config.get("print", ""), flush=True)
    os.write(2, config.get("error", "").encode())
    for step in range(config.get("reports", 0)):
        ctx.report(step, loss=step / 2)
    while config.get("wait") and not ctx.should_stop():
        time.sleep(0.01)
    if "chdir" in config:
        os.chdir(config["chdir"])
    (ctx.directory / "model.txt").write_text(f"budget {budget}")
    former = ctx.previous_directory
    return {
        "loss": 1.0,
        "config_id": ctx.config_id,
        "attempt": ctx.attempt,
        "seed": ctx.seed,
        "device": ctx.device,
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "key": [name for name in os.environ if name.startswith("HPDIST_KEY")],
        "former": former and (former / "model.txt").read_text(),
        "cwd": os.getcwd(),
        "stdin": sys.stdin.read(),
        "main_thread": threading.current_thread() is threading.main_thread(),
    }


def print_in_c(config: dict[str, Any]) -> float:
    """Print with C's buffered stdio, which Python knows nothing of."""
    ctypes.CDLL(None).printf(b"said in C\n")
    return 1.0


class Loaded:
    """An objective that loads its data when it is built."""

    name = "loaded"

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def build(self) -> Callable[[Payload, Context], object]:
        if self.fault == "raise":
            raise RuntimeError("the data set is not there")
        if self.fault == "die":
            print("about to die", flush=True)
            os._exit(5)
        while self.fault == "hang":
            time.sleep(0.05)
        counts = {"calls": 0}

        def call(payload: Payload, context: Context) -> object:
            counts["calls"] += 1
            return {"loss": 1.0, "calls": counts["calls"], "pid": os.getpid()}

        return call
