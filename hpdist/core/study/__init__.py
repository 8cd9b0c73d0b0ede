"""What to evaluate next: a pure state machine over trials, brackets and the optimizer.

Imports the packages below it, `multi_fidelity` and `optimizers`; no clock, no file, no thread.
Open `study` first: `Study.propose` decides and `Study.apply` changes. `trial_table` has trials and
jobs with their seeds, costs and limits, `brackets` the open brackets in their order.
"""
