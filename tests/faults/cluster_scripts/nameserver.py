"""A nameserver for the run in this directory, until it is killed."""

from __future__ import annotations

import threading

from hpdist import NameServer

NameServer("run", ".").start()
threading.Event().wait()
