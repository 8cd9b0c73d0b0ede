"""What users see of a run: its results, its progress, its status.

`run_state` folds the records of the journal, once; everything else here shows what it holds, and
decides nothing. May import `core.journal` and what is below it. Open `run_state` first for what is
counted, `results` for what users call, `progress_display` for the live bar and the log of a
terminal, whose lines `progress_lines` writes.
"""
