"""One attempt at one job: in this process or in a child process, with limits on time and memory.

Imports the core packages below it. Open `runner` first (the port), then `objective_call` (payload
in, outcome out) and `child_runner`, which keeps a child process whose main module is `child_main`.
`child_process` ends a child that takes too long, `spawned_process` starts one with its environment
and keeps the end of its output.
"""
