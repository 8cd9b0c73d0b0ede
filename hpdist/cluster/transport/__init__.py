"""Authenticated, optionally encrypted calls over Pyro4; nothing else in hpdist knows Pyro4.

Imports the core only. Open `server` (who may connect) and `client` first; `pyro` holds the limits
that both ends share.
"""
