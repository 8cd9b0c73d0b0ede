"""One process of an HpBandSter run: ``hpbandster_role.py ROLE JOBS``, in its own environment.

Roles: nameserver, worker, master. All meet in the current directory; each evaluation writes a line
to ``evaluations.log`` when it starts and when it ends. Needs Python 3.8 with ``hpbandster==0.7.4
ConfigSpace<0.6 numpy<1.24``.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import ConfigSpace
from hpbandster.core.nameserver import NameServer
from hpbandster.core.worker import Worker
from hpbandster.optimizers import RandomSearch

RUN, PING_S = "peer", 2
JOB_S = 0.3

#: What an evaluation does once, instead of its work, when the driver has asked for it.
MISDEEDS = {
    "exit": lambda: os._exit(3),
    "segfault": lambda: os.kill(os.getpid(), 11),
    "sys.exit": lambda: sys.exit(3),
    "none": lambda: None,
    "text": lambda: {"loss": "small", "info": {}},
    "nan": lambda: {"loss": float("nan"), "info": {}},
}


def note(**line):
    with open("evaluations.log", "a") as log:
        log.write(json.dumps({**line, "at": time.time(), "pid": os.getpid()}) + "\n")


def misdeed():
    """Take the misdeed that was asked for, if no other worker has."""
    for name, deed in MISDEEDS.items():
        try:
            os.unlink("misdeed-" + name)
        except FileNotFoundError:
            continue
        return deed
    return None


class Evaluator(Worker):
    def compute(self, config_id, config, budget, working_directory):
        note(event="start", job=list(config_id))
        deed = misdeed()
        if deed is not None:
            return deed()
        time.sleep(JOB_S)
        note(event="end", job=list(config_id))
        return {"loss": (config["x"] - 0.3) ** 2, "info": {}}


def nameserver(jobs):
    server = NameServer(run_id=RUN, working_directory=".", host="127.0.0.1")  # ends with its object
    Path("nameserver.json").write_text(json.dumps(server.start()))
    threading.Event().wait()


def worker(jobs):
    one = Evaluator(run_id=RUN, id=os.getpid())
    one.load_nameserver_credentials(working_directory=".", num_tries=60, interval=0.2)
    one.run(background=False)


def wait_for_nameserver():
    """Return its address once it is there: HpBandSter's own processes do not wait for it."""
    while True:
        try:
            return json.loads(Path("nameserver.json").read_text())
        except (FileNotFoundError, ValueError):
            time.sleep(0.1)


def master(jobs):
    space = ConfigSpace.ConfigurationSpace()
    space.add_hyperparameter(ConfigSpace.UniformFloatHyperparameter("x", 0, 1))
    host, port = wait_for_nameserver()
    search = RandomSearch(
        configspace=space, run_id=RUN, nameserver=host, nameserver_port=port,
        min_budget=1, max_budget=1, ping_interval=PING_S,
    )  # fmt: skip
    results = search.run(n_iterations=jobs, min_n_workers=1)
    search.shutdown(shutdown_workers=True)
    losses = [run.loss for run in results.get_all_runs()]
    Path("results.json").write_text(
        json.dumps([None if x is None or x != x else x for x in losses])
    )


if __name__ == "__main__":
    {"nameserver": nameserver, "worker": worker, "master": master}[sys.argv[1]](int(sys.argv[2]))
