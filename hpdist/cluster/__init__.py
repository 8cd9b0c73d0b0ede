"""Runs on several machines: nameserver, dispatcher, workers and master, over Pyro4.

Imports the core, the executors and `transport`. Open `master` and `worker` first; `run_host`
serves a run to workers, `directory` and `discovery` tell workers where it is.
"""
