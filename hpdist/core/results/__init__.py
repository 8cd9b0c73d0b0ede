"""Results, progress and status of a run, as users see them.

`run_state` folds the records of the journal, once; everything else here shows its content, and
decides nothing. May import `core.journal` and what is below it. Open `run_state` first for what is
counted, `results` for what users call, `progress_display` for the live bar and the log of a
terminal, whose lines `progress_lines` writes.
"""
