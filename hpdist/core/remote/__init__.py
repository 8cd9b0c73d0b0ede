"""Both ends of the protocol between a run and workers in other processes, for any transport.

`messages` and `replies` declare the messages. The run's end is `executor`; the worker's end is
`session`, which registers, polls, sends heartbeats, and retries while there is no dispatcher. A
worker keeps its assignments and results in `in_flight` and `outbox` until they are acknowledged;
`remote_worker` gives a repeated request the same reply. The transports are Pyro4
(`cluster.transport`) and shared files (`folder.transport`).
"""
