"""What is on the disk: the journal, its format, and the layout of a run directory.

One process writes a journal at a time. Open `journal` first; `format` has the lines, `reader`
reads them, `run_directory` has all other files of a run.
"""
