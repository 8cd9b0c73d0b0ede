"""Nameserver, workers and master as processes of their own: ``python three_processes.py``.

Without an argument all of them are started here. On a cluster start each with its own command, in
any order and on any machine that sees this directory:

    python three_processes.py nameserver
    python three_processes.py worker       # as many as you like, whenever you like
    python three_processes.py master
"""

import subprocess
import sys
import threading
import time

from hpdist import Master, NameServer, Space, Worker
from hpdist.multi_fidelity import SuccessiveHalving
from hpdist.optimizers import RandomSearch

RUN = "three-processes"


def train(config, budget):
    time.sleep(0.01 * budget)
    return (config["x"] - 1.0) ** 2 + 1 / budget


def nameserver():
    with NameServer(RUN, working_directory=".") as server:  # host="..." for other machines
        print("the nameserver is at", *server.start(), flush=True)
        threading.Event().wait()


def worker():
    worker = Worker(RUN)
    worker.initialize(train)
    worker.load_nameserver_credentials(".")  # waits until there is a nameserver
    worker.run()
    print("a worker left:", worker.reason, flush=True)


def master():
    optimizer = RandomSearch(Space.of({"x": (-5.0, 5.0)}))
    with Master(RUN, optimizer, SuccessiveHalving(1, 9), nameserver=None) as master:
        print(master.run(n_iterations=2, min_n_workers=2), flush=True)


if __name__ == "__main__":
    roles = {"nameserver": nameserver, "worker": worker, "master": master}
    if len(sys.argv) > 1:
        roles[sys.argv[1]]()
        sys.exit()
    processes = [
        subprocess.Popen([sys.executable, __file__, role])
        for role in ("nameserver", "worker", "worker", "master")
    ]
    for process in processes[1:]:
        process.wait()
    processes[0].terminate()
