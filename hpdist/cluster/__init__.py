"""Runs on several machines: nameserver, dispatcher, workers and master, over Pyro4.

Imports the core, the executors and `transport`. Open `master` and `worker` first; `run_host` and
`service` serve a run to workers. `directory` names and reads the entries of the nameserver,
`registration` keeps a run's entries there, `discovery` finds a run by them, and `diagnosis` says
why no workers have joined.
"""
