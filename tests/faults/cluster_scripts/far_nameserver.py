"""A nameserver at a network interface: ``far_nameserver.py HOST PORT NIC``."""

from __future__ import annotations

import sys
import threading

from hpdist import NameServer

_, host, port, nic = sys.argv
assert NameServer("far", port=int(port), nic_name=nic).start() == (host, int(port))
sys.stdout.write("up\n")
sys.stdout.flush()
threading.Event().wait()
