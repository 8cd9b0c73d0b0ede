"""Authenticated, optionally encrypted calls over Pyro4; nothing else in hpdist knows Pyro4.

Imports the core only. Open `server` (handshake and calls of a connection) and `client` first.
`connections` bounds how many may be open, `tls` makes and checks certificates, and `pyro` has the
settings of Pyro4 that both ends share.
"""
