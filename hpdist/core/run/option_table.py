"""Writes ``docs/options.rst``: ``python -m hpdist.core.run.option_table > docs/options.rst``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import Field, fields
from itertools import groupby
from typing import Any

from hpdist.core.model.limits_and_timing import Retry, Timing
from hpdist.core.model.option_declaration import option_of
from hpdist.core.run.doors import DOORS, EXCLUDED, name_at
from hpdist.core.run.options import GROUPS

HEAD = """\
Options
=======

Each option is declared once, with its default, in ``hpdist.core.run.options`` (limits, timing
and retries in ``hpdist.core.model.limits_and_timing``), from which this page is made:
``python -m hpdist.core.run.option_table > docs/options.rst``.

Python names are those of ``minimize``, ``maximize`` and ``hpdist.folder.run``; options of
``Timing`` and ``Retry`` are given as ``timing=Timing(...)`` and ``retry=Retry(...)``. ``Master``
has the names of its seed. Options of commands can be set in the environment too:
``HPDIST_RUN_BUDGET``, or ``HPDIST_BUDGET`` for all commands.
"""

TITLES = {
    "search": "The search",
    "limits": "Limits of the whole run",
    "time": "Limits of one call",
    "evaluation": "Evaluations",
    "executor": "Executors",
    "listening": "Listening",
    "policy": "The run",
    "timing": "Silent workers: Timing",
    "retry": "Repetitions: Retry",
}


def option_table() -> str:
    """Return the text of the page."""
    groups = {**GROUPS, "timing": Timing, "retry": Retry}
    parts = [HEAD]
    for name, title in TITLES.items():
        parts += [_title(title), _table(_rows(groups[name]))]
    parts += [_title("Which door lacks which option, and why"), *_excluded()]
    return "\n".join(parts)


def _rows(group: Any) -> Iterator[Sequence[str]]:
    yield "Python", "Master", "command line", "default", "value", ""
    for each in fields(group):
        option = option_of(each)
        flag = name_at("hpdist run", each) or name_at("hpdist worker", each)
        master = name_at("Master", each)
        unit = option.kind.unit.replace("|", ", ")
        cells = [f"``{each.name}``", _code(master), _code(flag), _default(each), unit]
        yield [*cells, option.help]


def _code(*names: str | None) -> str:
    return ", ".join(f"``{name}``" for name in names if name)


def _default(declared: Field[Any]) -> str:
    return "" if declared.default in (None, (), "") else f"``{declared.default!r}``"


def _title(text: str) -> str:
    return f"{text}\n{'-' * len(text)}\n"


def _table(rows: Iterator[Sequence[str]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [
            f"   {'*' if not index else ' '} - {cell}".rstrip() for index, cell in enumerate(row)
        ]
    return "\n".join([*lines, ""])


def _excluded() -> Iterator[str]:
    for door in DOORS:
        reasons = EXCLUDED[door]
        lines = [f"``{door}``"]
        for reason, names in groupby(reasons, key=reasons.__getitem__):
            lines.append(f"  - {_code(*names)}: {reason}")
        yield "\n".join([lines[0], "", *(line[2:] for line in lines[1:]), ""])


if __name__ == "__main__":
    sys.stdout.write(option_table())
