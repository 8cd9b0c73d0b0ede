"""A small quiet run, which no mutant may break: its fault would be no test of the tests."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path


def quiet_run() -> None:
    """Run Hyperband with two well-behaved workers, with a real journal, and read it back."""
    from hpdist.dispatch_state import DispatchState
    from hpdist.journal import Journal, read_journal
    from hpdist.loop import Loop
    from hpdist.model import Retry
    from hpdist.multi_fidelity import Hyperband
    from hpdist.study import Study
    from hpdist.testing.simulate import SimulatedCluster, SimulatedInbox, quadratic

    study, inbox = Study({"x": (0.0, 1.0)}, Hyperband(1, 3)), SimulatedInbox()
    cluster = SimulatedCluster(inbox, quadratic, workers=2)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal"
        with closing(Journal.open(path)) as journal:
            ended = Loop(study, DispatchState(Retry()), journal, cluster, inbox).run()
        found = read_journal(path).records
    assert ended.reason == "finished"
    planned = study.iter_generator.num_all_configs(2)
    assert len(study.ledger.jobs) == planned
    assert study.ledger.best is not None
    kinds = [record.kind for _, record in found]
    assert kinds.count("job") == kinds.count("start") == kinds.count("done") == planned
