"""The protocol between a run and workers in other processes, both ends, whatever carries it.

`messages` and `replies` declare what is sent. The run's end is `executor`, the worker's end is
`session`. Pyro4 (`cluster.transport`) and shared files (`folder.transport`) carry it.
"""
