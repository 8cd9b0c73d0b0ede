"""The loop around both state machines, and everything that makes, resumes and describes a run.

Open `loop` first (events to machines, records to the journal, orders to an executor), then
`local_run` (a run on this machine from its opening to its end) and `resume`.
"""
