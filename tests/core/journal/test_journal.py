import errno
import os
import resource
import stat
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest

from hpdist.core.journal.disk import Disk
from hpdist.core.journal.format import FORMAT, encode, scan
from hpdist.core.journal.journal import Journal
from hpdist.core.journal.memory_journal import MemoryJournal
from hpdist.core.journal.reader import JournalReader, read_journal
from hpdist.core.journal.repair import repair
from hpdist.core.model.errors import (
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalLocked,
    JournalVersion,
)
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    Controlled,
    JobCreated,
    ReportReceived,
    RunCreated,
    RunEnded,
    RunResumed,
    WorkerChanged,
)
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Job, Success, Trial, WorkerInfo

TRIAL = Trial(0, (0, 0, 0), {"x": 0.1, "name": "Zürich \ud800\n\x00"}, {"origin": "model"})
EVERY_KIND = [
    RunCreated(FORMAT, "r-1", {"x": [0, 1]}, seed=2**63, limits={"n_trials": 3}),
    RunResumed(1, 17, "host", "10.0.0.1:9090", {"hpdist": "0.1.0"}),
    WorkerChanged("joined", WorkerInfo("w", "i", slots=2, details={"a": [1]}), "", [4]),
    JobCreated(Job(0, 0, 1.0), TRIAL),
    JobCreated(Job(1, 0, 3.0, 0, 1, "w", 0)),
    AttemptStarted(0, 1, "w"),
    ReportReceived(0, 1, 5, 0.25),
    AttemptEnded(0, 1, "w", Success(1 / 3, 1e-300, {"note": ["a", None, True]}), seconds=0.1),
    AttemptEnded(1, 1, "w", None, final=False),
    AttemptEnded(1, 2, "w", Failure(FailureKind.TIMEOUT, "late", "Traceback"), output="\x1b[0m"),
    Controlled("stop", {"why": "tired"}),
    RunEnded("stopped", "by hand"),
]


def done(job_id=0, **fields):
    return AttemptEnded(job_id, 1, "w", Success(0.5), **fields)


def write(path, records=EVERY_KIND):
    with closing(Journal.open(path)) as journal:
        for at, record in enumerate(records):
            journal.append(record, float(at))
        journal.commit()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


def test_every_kind_of_record_comes_back_equal(path):
    write(path)
    with closing(Journal.open(path)) as journal:
        assert journal.records == [(float(at), record) for at, record in enumerate(EVERY_KIND)]
        assert journal.cut_bytes == 0


def test_lines_are_ascii_with_length_and_checksum_before_the_json(path):
    first = write(path, EVERY_KIND[:1]).decode("ascii")
    length, crc, text = first.split(" ", 2)
    assert (len(length), len(crc)) == (8, 8)
    assert int(length, 16) == len(text) - 1
    assert text.startswith('{"kind":"run",')
    assert text.endswith("}\n")


def test_only_the_owner_may_read_the_file(path):
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((path.parent / "lock").stat().st_mode) == 0o600


def test_appending_after_reopening_continues_the_chain(path):
    write(path, EVERY_KIND[:3])
    write(path, EVERY_KIND[3:])
    assert [record for _, record in read_journal(path).records] == EVERY_KIND


def test_nothing_is_in_the_file_before_commit_and_everything_after(path):
    with closing(Journal.open(path)) as journal:
        journal.append(EVERY_KIND[0], 0.0)
        assert path.read_bytes() == b""
        journal.append(EVERY_KIND[1], 0.0)
        journal.commit()
        assert len(read_journal(path).records) == 2


class CountingDisk(Disk):
    """Notes what is asked of it."""

    def __init__(self):
        self.calls = []

    def write(self, fd, data):
        self.calls.append("write")
        return super().write(fd, data)

    def sync_data(self, fd):
        self.calls.append("sync")


def test_a_commit_is_one_write_and_one_sync(path):
    disk = CountingDisk()
    with closing(Journal.open(path, disk=disk)) as journal:
        calls = disk.calls
        calls.clear()
        for record in EVERY_KIND:
            journal.append(record, 0.0)
        journal.commit()
        journal.commit()
        assert calls == ["write", "sync"]
    assert calls == ["write", "sync"]


def test_sync_every_waits_for_the_disk_once_in_n_settled_jobs_and_when_closed(path):
    syncs = []

    class NotingDisk(Disk):
        def sync_data(self, fd):
            syncs.append(len(read_journal(path).records))

    with closing(Journal.open(path, sync_every=3, disk=NotingDisk())) as journal:
        for job_id in range(7):
            journal.append(done(job_id, final=False), 0.0)
            journal.append(done(job_id), 0.0)
            journal.commit()
            assert len(read_journal(path).records) == 2 * job_id + 2
        assert syncs == [6, 12]
    assert syncs == [6, 12, 14]


def test_what_is_handed_out_is_durable_however_rare_the_syncs_are(path):
    disk = CountingDisk()
    with closing(Journal.open(path, sync_every=100, disk=disk)) as journal:
        journal.append(done(0), 0.0)
        journal.commit()
        assert "sync" not in disk.calls
        journal.append(AttemptStarted(1, 1, "w"), 0.0)
        journal.commit()
        assert disk.calls[-1:] == ["sync"]
        journal.append(done(1), 0.0)
        journal.commit()
        assert disk.calls[-1:] == ["write"]


def test_what_is_read_is_durable_and_not_from_memory(path):
    write(path)
    calls = []

    class NotingDisk(Disk):
        def sync(self, fd):
            calls.append(("sync", os.fstat(fd).st_ino))

        def forget(self, fd):
            calls.append(("forget", os.fstat(fd).st_ino))

        def read(self, fd):
            calls.append(("read", os.fstat(fd).st_ino))
            return super().read(fd)

    Journal.open(path, disk=NotingDisk()).close()
    file, names = path.stat().st_ino, path.parent.stat().st_ino
    before = [("sync", names), ("sync", file), ("forget", file), ("read", file)]
    assert calls == [*before, ("sync", file)]


def test_close_commits_and_may_be_called_twice(path):
    journal = Journal.open(path)
    journal.append(EVERY_KIND[0], 0.0)
    journal.close()
    journal.close()
    assert len(read_journal(path).records) == 1
    with pytest.raises(JournalError, match="closed"):
        journal.commit()


@pytest.mark.parametrize(
    "record",
    [
        RunCreated(FORMAT, "r", notes={"x": float("nan")}),
        RunCreated(FORMAT, "r", notes={"x": object()}),
        RunCreated(FORMAT, "r", notes={("a", "b"): 1}),
    ],
)
def test_a_record_that_is_no_json_is_refused_and_leaves_no_trace(path, record):
    with closing(Journal.open(path)) as journal:
        with pytest.raises(JournalError, match="kind 'run'"):
            journal.append(record, 0.0)
        journal.append(EVERY_KIND[1], 0.0)
    assert [record for _, record in read_journal(path).records] == EVERY_KIND[1:2]


def test_a_missing_journal_is_told_when_none_may_be_created(path):
    with pytest.raises(JournalError, match=str(path)):
        Journal.open(path, create=False)
    with pytest.raises(JournalError, match="No such file"):
        Journal.open(path.parent / "nowhere" / "journal")
    with pytest.raises(JournalError, match="No such file"):
        read_journal(path)


def test_sync_every_must_be_positive(path):
    with pytest.raises(JournalError, match="sync_every"):
        Journal.open(path, sync_every=0)


# ------------------------------------------------------------------------- one writer


def test_a_second_writer_in_this_process_is_refused_until_the_first_closes(path):
    journal = Journal.open(path)
    with pytest.raises(JournalLocked, match=f"process {os.getpid()} on"):
        Journal.open(path)
    with pytest.raises(JournalLocked):
        repair(path)
    journal.close()
    Journal.open(path).close()


def test_a_second_process_is_refused_with_the_holder_named(path):
    code = "import sys; from hpdist.core.journal.journal import Journal; Journal.open(sys.argv[1])"
    with closing(Journal.open(path)):
        other = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60
        )
    assert other.returncode == 1
    assert "JournalLocked" in other.stderr
    assert f"process {os.getpid()} on" in other.stderr


def test_the_lock_of_a_killed_process_is_free(path):
    code = (
        "import os, sys; from hpdist.core.journal.journal import Journal\n"
        "Journal.open(sys.argv[1]);"
        "os.kill(os.getpid(), 9)"
    )
    other = subprocess.run([sys.executable, "-c", code, str(path)], timeout=60)
    assert other.returncode == -9
    Journal.open(path).close()


def test_journals_of_other_names_have_locks_of_their_own(tmp_path):
    with closing(Journal.open(tmp_path / "a")), closing(Journal.open(tmp_path / "b")):
        assert (tmp_path / "a.lock").exists()
        assert (tmp_path / "b.lock").exists()


def test_bytes_from_elsewhere_stop_the_writer_for_good(path):
    with closing(Journal.open(path)) as journal:
        journal.append(EVERY_KIND[0], 0.0)
        journal.commit()
        with path.open("ab") as other:
            other.write(b"x")
        journal.append(EVERY_KIND[1], 0.0)
        for _ in range(2):
            with pytest.raises(JournalError, match="another writer"):
                journal.commit()
    assert path.read_bytes().endswith(b"\nx")


def test_bytes_from_elsewhere_stop_a_writer_that_has_nothing_to_write(path):
    write(path)
    with closing(Journal.open(path)) as journal:
        journal.commit()
        with path.open("ab") as other:
            other.write(b"x")
        with pytest.raises(JournalError, match="another writer"):
            journal.commit()  # orders that need no record go out after it


def test_a_journal_that_grows_while_it_is_read_is_refused(path):
    whole = write(path)

    class OvertakenDisk(Disk):
        def read(self, fd):
            data = super().read(fd)
            with path.open("ab") as other:
                other.write(b"x")
            return data

    with pytest.raises(JournalError, match="grew while it was read"):
        Journal.open(path, disk=OvertakenDisk())
    assert path.read_bytes() == whole + b"x"


def test_a_deleted_journal_stops_the_writer(path):
    with closing(Journal.open(path)) as journal:
        path.unlink()
        journal.append(EVERY_KIND[0], 0.0)
        with pytest.raises(JournalError, match="deleted"):
            journal.commit()


# ------------------------------------------------------------------------- a failing disk


class FailingDisk(Disk):
    """Does as it is told instead of writing or syncing."""

    def __init__(self, write=None, sync=None):
        self.instead_of_write, self.instead_of_sync = write, sync
        self.armed = False

    def write(self, fd, data):
        if self.armed and self.instead_of_write:
            return self.instead_of_write(fd, data)
        return super().write(fd, data)

    def sync_data(self, fd):
        if self.armed and self.instead_of_sync:
            self.instead_of_sync()
        super().sync_data(fd)


def failing(path, **instead):
    disk = FailingDisk(**instead)
    journal = Journal.open(path, disk=disk)
    disk.armed = True
    return journal


def test_short_writes_are_continued(path):
    with closing(failing(path, write=lambda fd, data: os.write(fd, data[:7]))) as journal:
        for record in EVERY_KIND:
            journal.append(record, 0.0)
    assert [record for _, record in read_journal(path).records] == EVERY_KIND


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_whole_records_and_loses_nothing(path, number):
    room = [100]

    def until_full(fd, data):
        if not room[0]:
            raise OSError(number, os.strerror(number))
        written = os.write(fd, data[: room[0]])
        room[0] -= written
        return written

    with closing(failing(path, write=until_full)) as journal:
        for record in EVERY_KIND:
            journal.append(record, 0.0)
        for _ in range(2):
            with pytest.raises(JournalFull, match=os.strerror(number)):
                journal.commit()
        assert read_journal(path).damage is None
        room[0] = 10**6
        journal.append(done(9), 0.0)
        journal.commit()
    assert [record for _, record in read_journal(path).records] == [*EVERY_KIND, done(9)]


@contextmanager
def file_size_limit(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_kernel_refusing_to_grow_the_file_loses_nothing(path):
    size = len(write(path))
    with closing(Journal.open(path)) as journal:
        for job_id in range(3):
            journal.append(done(job_id), 0.0)
        with file_size_limit(size + 150):
            with pytest.raises(JournalFull):
                journal.commit()
            assert read_journal(path).damage is None
        journal.commit()
    assert len(read_journal(path).records) == len(EVERY_KIND) + 3


def test_a_disk_still_full_at_the_end_is_told_and_the_lock_released(path):
    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    journal = failing(path, write=full)
    journal.append(EVERY_KIND[0], 0.0)
    with pytest.raises(JournalFull):
        journal.close()
    Journal.open(path).close()


def test_a_failed_sync_is_never_tried_again(path):
    calls = []

    def fail():
        calls.append(1)
        raise OSError(errno.EIO, "Input/output error")

    journal = failing(path, sync=fail)
    journal.append(EVERY_KIND[0], 0.0)
    for _ in range(3):
        with pytest.raises(JournalError, match="Input/output error"):
            journal.commit()
    journal.close()
    assert calls == [1]
    with closing(Journal.open(path)) as again:
        assert len(again.records) == 1


def test_an_unknown_write_error_breaks_the_journal_and_leaves_a_torn_tail(path):
    def tear(fd, data):
        os.write(fd, data[:10])
        raise OSError(errno.EIO, "Input/output error")

    journal = failing(path, write=tear)
    journal.append(EVERY_KIND[0], 0.0)
    for _ in range(2):
        with pytest.raises(JournalError, match="Input/output error"):
            journal.commit()
    journal.close()
    with closing(Journal.open(path)) as again:
        assert (again.records, again.cut_bytes) == ([], 10)


def test_an_interrupt_while_writing_keeps_the_records_and_is_gone_on_from(path):
    def interrupt(fd, data):
        os.write(fd, data[:10])
        raise KeyboardInterrupt

    disk = FailingDisk(write=interrupt)
    with closing(Journal.open(path, disk=disk)) as journal:
        journal.append(EVERY_KIND[0], 0.0)
        disk.armed = True
        with pytest.raises(KeyboardInterrupt):
            journal.commit()
        disk.armed = False
        assert path.stat().st_size == 10
    assert len(read_journal(path).records) == 1


# ------------------------------------------------------------------------- damage and repair


def test_damage_names_file_place_and_command(path):
    data = write(path)
    second = data.index(b"\n") + 1
    path.write_bytes(data[: second + 30] + b"#" + data[second + 31 :])
    with pytest.raises(JournalDamaged) as caught:
        Journal.open(path)
    assert f"{path} is damaged at byte {second} (line 2)" in str(caught.value)
    assert f"hpdist journal repair {path.parent}" in str(caught.value)
    assert read_journal(path).damage.line == 2


def test_repair_keeps_a_copy_and_the_records_before_the_damage(path):
    data = write(path)
    second = data.index(b"\n") + 1
    damaged = data[: second + 30] + b"#" + data[second + 31 :]
    for number in (1, 2):
        path.write_bytes(damaged)
        assert repair(path) == len(data) - second
        copy = path.with_name(f"journal.damaged-{number}")
        assert copy.read_bytes() == damaged
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(Journal.open(path)) as journal:
        assert [record for _, record in journal.records] == EVERY_KIND[:1]


def test_repairing_a_whole_journal_changes_nothing(path):
    data = write(path)
    assert repair(path) == 0
    assert path.read_bytes() == data
    assert sorted(p.name for p in path.parent.iterdir()) == ["journal", "lock"]


def test_a_file_that_is_no_journal_is_not_touched(path):
    path.write_text("my precious notes\n")
    with pytest.raises(JournalDamaged, match="no journal"):
        Journal.open(path)
    assert path.read_text() == "my precious notes\n"


def test_a_file_of_zeros_is_a_torn_beginning(path):
    path.write_bytes(bytes(4096))
    with closing(Journal.open(path)) as journal:
        assert journal.cut_bytes == 4096


def test_a_newer_format_is_refused_by_readers_and_writers(path):
    line, _ = encode(RunCreated(FORMAT + 1, "r"), 0.0, 0)
    path.write_bytes(line)
    for use in (Journal.open, read_journal, repair, lambda p: JournalReader(p).poll()):
        with pytest.raises(JournalVersion, match=f"format {FORMAT + 1}"):
            use(path)
    assert path.read_bytes() == line


@pytest.mark.parametrize(
    "record",
    [
        {"kind": "dream"},
        {"kind": "start", "job_id": 0},
        {"no": "kind"},
        {"kind": "run", "format": "x", "run_id": "r"},
    ],
)
def test_a_record_of_unknown_make_is_damage_even_at_the_end(monkeypatch, record):
    good, crc = encode(EVERY_KIND[0], 0.0, 0)
    monkeypatch.setattr("hpdist.core.journal.format.record_to_json", lambda _: dict(record))
    bad, _ = encode(EVERY_KIND[1], 1.0, crc)
    found = scan(good + bad)
    assert len(found.records) == 1
    assert found.damage.offset == len(good)
    assert "no known record" in found.damage.reason


def test_numbers_that_json_does_not_know_are_damage(monkeypatch):
    monkeypatch.setattr("hpdist.core.journal.format._ENCODE", lambda _: '{"kind":"ended","at":NaN}')
    line, _ = encode(EVERY_KIND[0], 0.0, 0)
    assert "NaN" in scan(line).damage.reason


# ------------------------------------------------------------------------- following


def test_a_reader_sees_each_record_once_however_the_bytes_arrive(path):
    data = write(path)
    path.write_bytes(b"")
    reader, seen = JournalReader(path), []
    for start in range(0, len(data), 11):
        with path.open("ab") as file:
            file.write(data[start : start + 11])
        seen += reader.poll()
        assert len(seen) == data[: start + 11].count(b"\n")
    assert seen == scan(data).records
    assert reader.poll() == []


def test_a_reader_waits_for_a_journal_that_is_not_there_yet(path):
    reader = JournalReader(path)
    assert reader.poll() == []
    write(path)
    assert len(reader.poll()) == len(EVERY_KIND)


def test_a_reader_tells_of_damage_with_the_place_in_the_file(path):
    data = write(path)
    lines = data.splitlines(keepends=True)
    head = b"".join(lines[:3])
    path.write_bytes(head)
    reader = JournalReader(path)
    assert len(reader.poll()) == 3
    path.write_bytes(head + lines[3].replace(b"model", b"MODEL") + lines[4])
    with pytest.raises(JournalDamaged, match=rf"byte {len(head)} \(line 4\)"):
        reader.poll()


def test_a_reader_tells_of_a_file_that_became_shorter(path):
    write(path)
    reader = JournalReader(path)
    reader.poll()
    path.write_bytes(b"")
    with pytest.raises(JournalError, match="shorter"):
        reader.poll()


def test_reading_takes_no_lock_and_changes_nothing(path):
    with closing(Journal.open(path)) as journal:
        journal.append(EVERY_KIND[0], 0.0)
        journal.commit()
        torn = path.read_bytes() + b"00000"
        path.write_bytes(torn)
        assert read_journal(path).good_bytes == len(torn) - 5
        assert path.read_bytes() == torn


def test_the_journal_in_memory_keeps_what_is_appended():
    journal = MemoryJournal()
    journal.append(EVERY_KIND[0], 1.0)
    journal.commit()
    journal.close()
    assert journal.records == [(1.0, EVERY_KIND[0])]
