"""The files of a run: the journal, its format, and the layout of the run directory.

One process writes a journal at a time. Open `journal` first (when records are written and synced);
`journal_file` opens and locks its file, `format` encodes and decodes its lines and recognizes a
torn one, `reader` reads it without a lock. `run_directory` has the paths of all other files, those
of attempts among them; `run_names` the valid run ids and the default directory of a run.
"""
