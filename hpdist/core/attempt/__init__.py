"""One attempt at one job: in this process or in a child process, with limits on time and memory.

Open `evaluate` first (payload in, outcome out), then `child_runner`, which owns a warm child whose
main module is `child_main`.
"""
