"""The disk of the journal is full, or fails to sync."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial

from matrix import Figures, Row
from odd_stage import odd_master
from stage import RUN, Actor, Stage

SIZE = 512 * 1024


NoRoom = Callable[[Stage], AbstractContextManager[None]]


@contextmanager
def no_room_in_file(stage: Stage) -> Iterator[None]:
    """Let the journal's file not grow; the kernel writes a part, and refuses the rest."""
    stage.file("no-room").touch()
    yield
    stage.file("no-room").unlink()


@contextmanager
def no_room_on_disk(stage: Stage) -> Iterator[None]:
    """Fill up the small disk of the run."""
    ballast = stage.directory / RUN / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 512)
    yield
    ballast.unlink()


@contextmanager
def small_disk(stage: Stage) -> Iterator[NoRoom]:
    """A disk of its own for the run, where one may mount it; yields what fills it up."""
    run = stage.directory / RUN
    run.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "hpdist", str(run)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        yield no_room_in_file
        return
    try:
        yield no_room_on_disk
    finally:
        stage.close()
        subprocess.run(["umount", "-l", str(run)], check=True)


def full(moment: str, disk: bool, stage: Stage, rng: random.Random) -> Figures:
    """Full when an outcome is to be written down: no acknowledgement until there is room."""
    if not disk:
        return _full(moment, no_room_in_file, stage, rng)
    with small_disk(stage) as no_room:
        return _full(moment, no_room, stage, rng)


def _full(moment: str, no_room: NoRoom, stage: Stage, rng: random.Random) -> Figures:
    # So many that they do not all fit into the last block of the file, which it has already.
    master = odd_master(stage, jobs=rng.randint(30, 40), nameserver=False)
    stage.nameserver()
    worker = stage.worker(label="victim")
    stage.wait_workers(1)
    _hold(stage, moment, worker)
    stage.begin(workers=1)
    _wait_held(stage, moment, worker)
    with no_room(stage):
        _let_go(stage, moment, worker)
        stage.wait_until(lambda: stage.outputs().count("cannot grow") >= 3, "three tries")
        settled, begun, ended = stage.finished(), len(stage.log("start")), len(stage.log("end"))
        # What was written of a commit that did not fit may end with a whole record.
        assert begun == ended, "work was given that is not written down"
        assert settled in (ended - 1, ended), f"{settled} of {ended} results are written down"
        assert master.alive
        assert worker.alive
        if rng.random() < 0.5:  # had the result been acknowledged, it would be lost now
            stage.kill(master)
    if not master.alive:
        master = odd_master(stage, nameserver=False)
    stage.finish(master, repeats=0)
    return {"written before jobs": settled}


def _hold(stage: Stage, moment: str, worker: Actor) -> None:
    if moment == "M4":
        stage.close_gate(worker)
    else:
        stage.hold(worker.label, moment)


def _wait_held(stage: Stage, moment: str, worker: Actor) -> None:
    if moment == "M4":
        stage.wait_held(worker)
    else:
        stage.wait_at(worker.label, moment)


def _let_go(stage: Stage, moment: str, worker: Actor) -> None:
    if moment == "M4":
        stage.open_gate(worker)
    else:
        stage.release(worker.label, moment)


def bad_sync(moment: str, stage: Stage, rng: random.Random) -> Figures:
    """The sync of an outcome, or of a job that is to be handed out, fails."""
    master = odd_master(stage, jobs=rng.randint(4, 8), nameserver=False)
    stage.nameserver()
    worker = stage.worker(label="victim")
    stage.wait_workers(1)
    if moment == "M6":
        _hold(stage, "M5", worker)
        stage.begin(workers=1)
        _wait_held(stage, "M5", worker)
        stage.file("bad-sync").touch()
        _let_go(stage, "M5", worker)
    else:
        stage.file("bad-sync").touch()
        stage.begin(workers=1)
    code = stage.wait_until(lambda: master.poll(), "the end of the master")  # 0 would not do
    assert code == 1, stage.outputs()
    assert not stage.file("bad-sync").exists()
    assert "cannot be written" in stage.outputs()
    assert worker.alive, stage.outputs()
    stage.finish(odd_master(stage, nameserver=False), repeats=0)
    return {}


NO_ROOM = "no acknowledgement, no loss; goes on when there is room"

ROWS = [
    *(
        Row(fault, when, NO_ROOM, partial(full, moment, disk), long=(disk, moment) != (True, "M4"))
        for fault, disk in (("disk full", True), ("file-size limit", False))
        for moment, when in (("M4", "M4 running"), ("M5", "M6 sent, not acknowledged"))
    ),
    Row(
        "sync fails",
        "M3 job to be assigned",
        "master aborts; the next one loses and repeats nothing",
        partial(bad_sync, "M3"),
        long=True,
    ),
    Row(
        "sync fails",
        "M6 sent, not acknowledged",
        "master aborts; the next one loses and repeats nothing",
        partial(bad_sync, "M6"),
    ),
]
