"""A search by any number of processes that share nothing but a directory."""

from hpdist.folder.search import run

__all__ = ["run"]
