"""What was evaluated is not lost with its worker, even while there is nobody to tell it to."""

from __future__ import annotations

from pathlib import Path

import pytest
from killed_cluster import WORKERS, Cluster

pytestmark = pytest.mark.slow


def test_results_of_workers_killed_without_a_master_are_handed_in_by_others(
    tmp_path: Path,
) -> None:
    cluster = Cluster(tmp_path)
    try:
        cluster.nameserver()
        workers = [cluster.start_worker() for _ in range(WORKERS)]
        master = cluster.start_master()
        cluster.wait_for_more(3)
        lines = cluster.hold_all(WORKERS)
        cluster.kill(master)
        cluster.open_gate()
        outbox = tmp_path / "run" / "outbox"
        cluster.wait_until(lambda: len(list(outbox.glob("*"))) == WORKERS, "all results on disk")
        for worker in workers:
            cluster.kill(worker)
        before = len(cluster.journal("start"))
        master = cluster.start_master()
        for _ in range(WORKERS):
            cluster.start_worker()
        assert master.wait(60) == 0, cluster.outputs()
        for line in lines:
            job = cluster.job_of(line)
            (final,) = [r for r in cluster.journal("done") if r["job_id"] == job and r["final"]]
            assert final["attempt"] == line["attempt"]
            assert f"-{line['worker']}-" in final["worker_id"], "it was done by the dead worker"
            assert job not in [r["job_id"] for r in cluster.journal("start")[before:]]
        assert list(outbox.glob("*")) == []
        assert cluster.judge()["complaints"] == []
    finally:
        cluster.close()
