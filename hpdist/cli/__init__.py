"""The command line: one module per command, over the same functions that scripts call.

May import everything. Open `main` first: it lists the commands. Shared modules: `options` makes
command-line options of the fields that declare them, `script` loads the user's file, `search_run`
runs a search, `tables` prints results, `exit_codes` has the exit codes and prints errors.
"""
