"""The protocol between a run and workers in other processes, both ends, whatever carries it.

`messages` and `replies` declare what is sent. The run's end is `executor`; the worker's end is
`session`, which registers, polls, sends heartbeats, and tries again while the run is away. A
worker keeps its assignments and results in `in_flight` and `outbox` until they are acknowledged;
`remote_worker` gives a repeated request the same reply. Pyro4 (`cluster.transport`) or shared
files (`folder.transport`) carry the messages.
"""
