"""Who holds a folder: one process at a time, with no file locks and no common clock."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from hpdist.core.journal.journal import Journal
from hpdist.core.journal.reader import read_journal
from hpdist.core.model.errors import JournalError, JournalLocked
from hpdist.core.model.events import RunEnded
from hpdist.folder.election import (
    FINISHED,
    FREE,
    Election,
    FencedDisk,
    HeartbeatWatch,
    take_journal,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("hpdist.folder.election.time", clock)
    # so that processes of this test can be "dead" or not by their heartbeats alone
    monkeypatch.setattr("hpdist.folder.election.system", lambda: "")
    return clock


def test_a_watch_gives_up_who_shows_no_change_for_a_lease() -> None:
    watch = HeartbeatWatch(lease_s=4.0)
    assert not watch.silent("a", 10.0)
    assert not watch.silent("a", 14.0)
    assert watch.silent("a", 14.1)
    assert not watch.silent("b", 14.2)


def test_one_stands_and_the_others_wait_for_its_end(tmp_path: Path, clock: Clock) -> None:
    first, second = (Election(tmp_path, name, 4.0) for name in "ab")
    assert first.try_to_lead()
    assert not second.try_to_lead()
    clock.now += 3.0
    first.heartbeat()
    assert not second.try_to_lead()
    clock.now += 3.0
    assert not second.try_to_lead(), "it has seen a change within the lease"
    assert first.superseded, "late itself, it does not act any more"
    clock.now += 1.1
    assert second.try_to_lead()
    assert first.superseded
    assert not second.superseded


def test_who_resigns_is_followed_at_once_unless_the_search_is_over(
    tmp_path: Path, clock: Clock
) -> None:
    first, second = (Election(tmp_path, name, 4.0) for name in "ab")
    assert first.try_to_lead()
    first.resign(FREE)
    assert second.try_to_lead()
    second.resign(FINISHED)
    assert not first.try_to_lead()
    clock.now += 100.0
    assert not first.try_to_lead()
    assert first.try_to_lead(renew=True)


def test_a_leader_known_to_be_dead_is_followed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Election(tmp_path, name, 4.0) for name in "ab")
    assert first.try_to_lead()
    assert not second.try_to_lead(), "it lives: it is this process"
    heartbeat = json.loads((tmp_path / "1.heartbeat").read_bytes())
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    (tmp_path / "1.heartbeat").write_text(
        json.dumps({**heartbeat, "process": [heartbeat["process"][0], pid]})
    )
    assert second.try_to_lead()


def test_random_histories_have_one_leader_at_a_time(tmp_path: Path, clock: Clock) -> None:
    for seed in range(60):
        rng = random.Random(seed)
        place = tmp_path / str(seed)
        elections = [Election(place, str(i), 4.0) for i in range(4)]
        for _ in range(150):
            clock.now += rng.choice([0.1, 0.5, 1.5])
            one = rng.choice(elections)
            if one.superseded:
                one.try_to_lead()
            elif rng.random() < 0.1:
                one.resign(FREE)
            else:
                one.heartbeat()
            # whoever stalled, at most one may act at any time
            assert sum(not each.superseded for each in elections) <= 1


# ------------------------------------------------------------------ the fence


def ended(journal: Journal, message: str) -> None:
    journal.append(RunEnded("stopped", message), 1.0)
    journal.commit()


def test_what_a_former_leader_writes_has_no_effect(tmp_path: Path) -> None:
    path, over = tmp_path / "journal", {"first": False}
    first = Journal.open(path, disk=FencedDisk(lambda: over["first"]))
    ended(first, "one")
    over["first"] = True
    disk = FencedDisk(lambda: False)
    take_journal(path, disk)
    second = Journal.open(path, disk=disk)
    ended(second, "two")
    with pytest.raises(JournalError):
        ended(first, "late")
    ended(second, "three")
    second.close()
    messages = [record.message for _, record in read_journal(path).records
               if isinstance(record, RunEnded)]  # fmt: skip
    assert messages == ["one", "two", "three"]


def test_a_write_that_was_under_way_at_the_change_is_not_acted_on(tmp_path: Path) -> None:
    path, over = tmp_path / "journal", {"looks": 0}

    def superseded() -> bool:
        over["looks"] += 1
        return over["looks"] > 2  # not at opening, nor before the write, but after it

    first = Journal.open(path, disk=FencedDisk(superseded))
    over["looks"] = 1
    with pytest.raises(JournalError):
        ended(first, "one")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_will_do(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any) -> None:
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", missing)
    journal = Journal.open(tmp_path / "journal", disk=FencedDisk(lambda: False))
    ended(journal, "one")
    journal.close()
    assert len(read_journal(tmp_path / "journal").records) == 1


def test_a_program_that_knows_of_no_election_is_kept_out(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    leader = Journal.open(path, disk=FencedDisk(lambda: False))
    with pytest.raises(JournalLocked):
        Journal.open(path)
    leader.close()
    plain = Journal.open(path)
    with pytest.raises(JournalLocked):
        Journal.open(path, disk=FencedDisk(lambda: False))
    plain.close()
