"""What every role does: read a problem, answer "ask" and "tell" until the input ends.

Needs nothing but the standard library, and runs on Python 3.7.
"""

import json
import math
import os
import sys
import time


def at(parameter, u):
    """Return the value of a parameter at ``u`` in [0, 1]."""
    choices = parameter["choices"]
    if choices:
        return choices[min(int(u * len(choices)), len(choices) - 1)]
    half = 0.5 if parameter["kind"] == "int" else 0.0
    low, high = parameter["low"] - half, parameter["high"] + half
    if parameter["log"]:
        value = math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
    else:
        value = low + u * (high - low)
    value = min(max(value, parameter["low"]), parameter["high"])
    return round(value) if parameter["kind"] == "int" else value


def is_active(name, config, conditions):
    """Say whether the parents of a parameter have the values it needs."""
    return all(
        config.get(condition["parent"]) in condition["values"]
        for condition in conditions
        if condition["child"] == name
    )


def own_output():
    """Return standard output, and send what libraries print there to standard error."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return replies


def serve(make, replies=None):
    """Serve ``make(problem)``, whose ``ask()`` gives (key, config, budget) or None."""
    replies = own_output() if replies is None else replies
    searcher = make(json.loads(sys.stdin.readline()))
    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        started = time.process_time()
        if "tell" in message:
            searcher.tell(message["tell"], message["config"], message["budget"], message["loss"])
            reply = {}
        else:
            reply = {"job": searcher.ask()}
        reply["seconds"] = time.process_time() - started
        print(json.dumps(reply), file=replies, flush=True)
