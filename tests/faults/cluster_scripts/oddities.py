"""What is odd about the machine of a process: its network, its clock."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

_CLONE_NEWNET = 0x40000000


def enter(netns: str) -> None:
    """Live in the network namespace of this name from now on; in the one of before if empty."""
    if not netns:
        return
    file = os.open(f"/var/run/netns/{netns}", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(file, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {netns}")
    os.close(file)


def shift_clock(by: Path) -> None:
    """Have the wall clock go wrong by as many seconds as the file says, at each moment."""
    as_ever = time.time

    def shifted() -> float:
        try:
            return as_ever() + float(by.read_text())
        except FileNotFoundError:
            return as_ever()

    time.time = shifted
