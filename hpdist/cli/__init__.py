"""The command line: one module per command, over the same functions that scripts call.

May import everything. Open `main` first: it lists the commands.
"""
