"""A worker on a machine where something is odd: ``odd_worker.py OPTIONS``, as ``worker.py``.

Besides, OPTIONS may have ``netns``, a network namespace to live in; ``proxy``, the file with the
address to dial in place of the dispatcher's, if it is another one than ``proxy``; ``answer_s``, how
long it waits for an answer; and ``objective``, another script with a function ``evaluate``. The
file ``clock-workers`` holds seconds that its wall clock is off.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
from pathlib import Path
from typing import Any

import worker
from oddities import enter, shift_clock

from hpdist.cluster.discovery import RunAddress


def main(options: dict[str, Any]) -> int:
    enter(options.pop("netns", ""))
    shift_clock(Path("clock-workers"))
    worker.PROXY = Path(options.pop("proxy", "proxy"))
    objective = Path(__file__).with_name(options.pop("objective", "objective.py"))
    worker.OBJECTIVE = f"{objective}:evaluate"
    channel = functools.partialmethod(RunAddress.channel, timeout_s=options.pop("answer_s", 10.0))
    RunAddress.channel = channel  # type: ignore[method-assign,assignment]
    return worker.main(options)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    sys.exit(main(json.loads(sys.argv[1])))
