"""The protocol between a run and workers in other processes, both ends, whatever carries it.

`messages` and `replies` declare what is sent. The run's end is `executor`; the worker's end is
`session`, which registers, polls, sends heartbeats, and tries again while the run is away. Pyro4
(`cluster.transport`) and shared files (`folder.transport`) carry it.
"""
