"""A master without workers waits, or says what is missing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from cluster_scene import LIMIT_S, Scene, eventually, scene_in

from hpdist.cluster import worker_watch
from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.worker_watch import WorkerWatch
from hpdist.core.model.errors import NoWorkers


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with scene_in(tmp_path, monkeypatch) as scene:
        scene.nameserver()
        yield scene


def test_enough_workers_are_waited_for(scene: Scene) -> None:
    master = scene.master(worker_timeout=LIMIT_S)
    scene.worker()
    master.wait_for_workers(1)
    late = threading.Timer(0.2, scene.worker)
    late.start()
    master.wait_for_workers(2)
    late.join()
    assert master.dispatcher.number_of_workers() == 2


def test_no_workers_are_explained_by_what_the_nameserver_knows(scene: Scene) -> None:
    master = scene.master(worker_timeout=0.3)
    with pytest.raises(NoWorkers) as caught:
        master.run(min_n_workers=2)
    told = str(caught.value)
    assert "0 of 2 workers joined run 'scene'" in told
    assert "answers and lists this run; no worker is registered" in told
    assert "on loopback: workers on other machines cannot reach it" in told
    assert f"hpdist worker SCRIPT --run {scene.run}" in told


def test_no_workers_are_explained_by_the_nameserver_that_is_gone(scene: Scene) -> None:
    master = scene.master(worker_timeout=0.3)
    scene.server.shutdown()
    with pytest.raises(NoWorkers) as caught:
        master.wait_for_workers()
    told = str(caught.value)
    assert "has no nameserver" in told
    assert "workers cannot find the run" in told
    assert f"hpdist nameserver --run {scene.run}" in told


@pytest.mark.slow
def test_workers_of_another_run_are_named(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    host, port = scene.server.start()
    monkeypatch.setenv("HPDIST_KEY_FILE", str(scene.run / "key"))
    other = Scene(scene.directory)
    try:
        dispatcher = other.dispatcher(
            lambda job: None, run_id="other", working_directory=None, nameserver_port=port
        )
        worker = other.worker(run_id="other", nameserver=host, nameserver_port=port)
        eventually(lambda: dispatcher.number_of_workers() == 1)
        dispatcher.discover_workers()
        with pytest.raises(NoWorkers, match=r"registered under 'other' \(on .+\)"):
            scene.master(worker_timeout=0.3).run()
        assert not worker.is_busy()
    finally:
        other.close()


def test_too_few_workers_are_diagnosed_again_and_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_watch, "NO_WORKERS_EVERY_S", 0.0)
    monkeypatch.setattr("hpdist.cluster.run_host.CHECK_EVERY_S", 0.01)
    own = logging.getLogger("of the caller")
    with pytest.raises(NoWorkers):
        scene.master(worker_timeout=0.2, logger=own).wait_for_workers(3)
    warned = [record for record in caplog.records if record.name == own.name]
    assert len(warned) > 1
    assert "0 of 3 workers joined run 'scene' within 0 s" in warned[0].getMessage()


def test_the_time_without_enough_workers_counts_from_the_last_that_were_enough(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(worker_watch, "time", SimpleNamespace(monotonic=lambda: clock[-1]))
    run_address = RunAddress("scene", directory=scene.run)
    workers = 2
    watch = WorkerWatch(run_address, lambda: workers, 10.0, logging.getLogger())
    clock.append(9.0)
    assert watch.check(2)
    clock.append(18.0)
    assert watch.check(2)
    workers = 1
    clock.append(27.0)
    assert not watch.check(2)
    assert watch.check(1)
    clock.append(37.0)
    assert not watch.check(2)
    clock.append(37.5)
    with pytest.raises(NoWorkers, match=r"1 of 2 workers joined run 'scene' within 10 s"):
        watch.check(2)
