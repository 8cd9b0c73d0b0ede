"""What the evaluations of some trials do to their process."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time


def segfault() -> None:
    ctypes.string_at(0)


def leave() -> None:
    os._exit(3)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def allocate() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(16 * 2**20))
        time.sleep(0.005)


def fork_fifty() -> None:
    """Leave fifty children behind, which never end by themselves."""
    for _ in range(50):
        if os.fork() == 0:
            while True:
                time.sleep(60)


def loop_for_ever() -> None:
    while True:
        pass


def hold_interpreter() -> None:
    """Sleep in C for longer than a lease, with the interpreter's lock held."""
    ctypes.PyDLL(None).usleep(4_000_000)


def print_much() -> None:
    block = "x" * (2**20 - 1)
    for _ in range(100):
        sys.stdout.write(f"{block}\n")


def ignore_sigterm() -> None:
    """Be busy with something that nobody may interrupt."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


def die_on_this_node() -> None:
    """Die at once, but on one node only."""
    if os.environ.get("STAGE_LABEL") == "hole":
        os._exit(9)
