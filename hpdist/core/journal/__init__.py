"""The files of a run: the journal, its format, and the layout of the run directory.

One process writes a journal at a time. Open `journal` first; `format` encodes and decodes its
lines, `reader` reads it without a lock, `run_directory` has the paths of all other files.
"""
