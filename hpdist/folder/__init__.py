"""A search by any number of processes that share only a directory.

Imports the core and the executors, never Pyro4. Open `search` first, then `participant`; one
participant is the leader (`election` decides who, also when one has died; `leader` serves the
others), and requests travel as files (`transport`).
"""

from hpdist.folder.runtime import launch_runtime
from hpdist.folder.search import run
from hpdist.folder.shared_state import SharedState
from hpdist.folder.trial import ConfigResult, Trial, get_in_progress_trial

__all__ = [
    "ConfigResult",
    "SharedState",
    "Trial",
    "get_in_progress_trial",
    "launch_runtime",
    "run",
]
