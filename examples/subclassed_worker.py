"""A worker class of your own, on many machines: ``python subclassed_worker.py``.

On a cluster start the master on one machine, and on each of the others, in a directory that all
of them see, ``python subclassed_worker.py --worker``. Kill any of them and start it again: the
master goes on from its checkpoint file, with the workers that are still there.
"""

import argparse
import subprocess
import sys
import time

from hpdist import Master, NameServer, Space, Worker
from hpdist.multi_fidelity import Hyperband
from hpdist.optimizers import RandomSearch

RUN = "subclassed"


class Trainer(Worker):
    def __init__(self, *args, seconds=0.02, **kwargs):
        super().__init__(*args, **kwargs)
        self.seconds = seconds
        self.data = [1.0, 2.0, 3.0]  # loaded once in each process

    def compute(self, config_id, config, config_info, budget, working_directory):
        time.sleep(self.seconds)
        errors = [(config["slope"] * x - 2.0 * x) ** 2 for x in self.data]
        return {"loss": sum(errors) + 1 / budget, "info": {"files": working_directory}}


def work():
    worker = Trainer(RUN)
    worker.load_nameserver_credentials(working_directory=".")
    worker.run(background=False)


def search(n_iterations):
    with NameServer(RUN, working_directory="."):  # nic_name="eth0" for other machines
        for _ in range(2):
            subprocess.Popen([sys.executable, __file__, "--worker"])
        master = Master(
            RUN,
            RandomSearch(Space.of({"slope": (-5.0, 5.0)})),
            Hyperband(min_budget=1, max_budget=9),
            working_directory=".",
            nameserver=None,  # the one of the working directory
            checkpoint_file="checkpoint",
        )
        print("evaluations known at the start:", len(master.study.table.jobs), flush=True)
        results = master.run(n_iterations, min_n_workers=2)
        master.shutdown(shutdown_workers=True)
    print(results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", action="store_true")
    parser.add_argument("--n-iterations", type=int, default=4)
    arguments = parser.parse_args()
    work() if arguments.worker else search(arguments.n_iterations)
