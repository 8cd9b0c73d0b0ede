"""Functions on engines: static and load-balanced views, over the dispatcher and its workers.

Imports the core and `cluster`. Open `client` first, then `task_source`, which has the submitted
tasks; `policies` choose an engine for a task.
"""

from hpdist.views.balanced import LoadBalancedView
from hpdist.views.client import Client
from hpdist.views.direct import DirectView
from hpdist.views.magics import load_ipython_extension
from hpdist.views.result import AsyncResult, CompositeError, RemoteError
from hpdist.views.values import PickledValue

__all__ = [
    "AsyncResult",
    "Client",
    "CompositeError",
    "DirectView",
    "LoadBalancedView",
    "PickledValue",
    "RemoteError",
    "load_ipython_extension",
]
