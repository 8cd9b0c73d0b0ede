"""A worker for the run in this directory, until the run ends."""

from __future__ import annotations

from pathlib import Path

from hpdist import Worker

worker = Worker("killed", reconnect_timeout=60)
worker.initialize(f"{Path(__file__).with_name('objective.py')}:evaluate")
worker.load_nameserver_credentials(".", interval=0.1)
worker.run()
