"""Peers as programs: each runs under its own Python and speaks JSON lines; see `peers`."""
