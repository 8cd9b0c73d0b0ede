"""What is evaluated: the objective, what is passed to it, and what it may return.

Imports `core.model` only. Open `objective` first (how a function or a name becomes a
callable), then `context` (the ``ctx`` argument) and `returned_value` (what counts as a result).
"""
