"""The loop around both state machines, and everything that makes, resumes and describes a run.

Open `loop` first (events to machines, records to the journal, orders to an executor), then
`local_run` (a run on this machine from its opening to its end) and `resume`. `options` declares
all options of a run, `doors` which front door has which, `executor_names` the names for executor=;
`commands` carries out operators' commands, `ending` brings the loop to its end (time limit, stop),
`submissions` makes jobs of what is handed in, and `warm_start` takes over results of earlier runs.
"""
