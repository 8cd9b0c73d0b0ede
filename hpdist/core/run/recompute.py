"""Recompute the proposals of a journal with this installation: a check of determinism."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hpdist.core.model.errors import ConfigurationError, StateError
from hpdist.core.model.events import Controlled, JobCreated, Record, RunCreated, RunResumed
from hpdist.core.model.record_codec import record_to_json
from hpdist.core.model.states import Command
from hpdist.core.model.values import JsonValue
from hpdist.core.run.descriptions import known, known_generator
from hpdist.core.run.resume import header_arguments
from hpdist.core.space.space import Space
from hpdist.core.study.early_stopping import NAMES as RULES
from hpdist.core.study.study import Study
from hpdist.optimizers import NAMES as OPTIMIZERS


@dataclass(frozen=True)
class Deviation:
    """The first record that differs from what would be decided now.

    Attributes
    ----------
    number
        Number of the record in the journal, counted from 1.
    recorded, proposed
        The job as the journal has it, and as it is proposed now: None if there is nothing to do.
    why
        Why the record cannot be applied; empty if it merely differs.
    versions
        Versions that were installed when it was written.
    """

    number: int
    recorded: dict[str, JsonValue]
    proposed: dict[str, JsonValue] | None
    why: str
    versions: dict[str, str]


def recompute(records: Iterable[Record], study: Study) -> tuple[int, Deviation | None]:
    """Replay a journal, and compare each proposal with what ``study`` proposes at that point.

    A proposal was made when all records before it were known, and none after it: also one that
    was queued ahead of a free slot.

    Returns
    -------
    same
        How many proposals are the same, up to the first that is not.
    deviation
        That one; None if there is none.
    """
    same = 0
    versions: dict[str, str] = {}
    for number, record in enumerate(records, start=1):
        if isinstance(record, RunCreated | RunResumed):
            versions = record.versions or versions
        decided = isinstance(record, JobCreated)
        now = _proposal(study) if decided else None
        another = decided and now != _plain(record)
        why = "" if another else _cannot_follow(study, record)
        if another or why:
            return same, Deviation(number, _plain(record), now, why, versions)
        same += decided
    return same, None


def _proposal(study: Study) -> dict[str, JsonValue] | None:
    proposed = study.propose()
    return None if proposed is None else _plain(proposed)


def _cannot_follow(study: Study, record: Record) -> str:
    """Apply a record; return the reason if that was not possible."""
    try:
        study.apply(record)
    except StateError as error:
        return str(error)
    return ""


def study_of(records: Sequence[Record]) -> Study:
    """Build the study of a journal from its first record only.

    Raises
    ------
    ConfigurationError
        If it needs code that is not hpdist's own.
    """
    header = records[0] if records else None
    if not isinstance(header, RunCreated) or header.iter_generator is None:
        raise _cannot("its jobs were submitted one by one, no search proposed them")
    if any(
        isinstance(each, Controlled) and each.command == Command.ITERATION_KWARGS
        for each in records
    ):
        raise _cannot("its brackets were made by a get_next_iteration of its own")
    space = Space.from_json(header.space)
    generator = known_generator(header.iter_generator)
    optimizer = known(OPTIMIZERS.values(), header.optimizer, space)
    for role, found, described in (
        ("iteration generator", generator, header.iter_generator),
        ("optimizer", optimizer, header.optimizer),
    ):
        if found is None or found.describe() != described:
            raise _cannot(f"its {role} is {json.dumps(described)}, which is not hpdist's own")
    rule = known(RULES.values(), header.early_stopping) if header.early_stopping else None
    if (rule and rule.describe()) != header.early_stopping:
        raise _cannot(f"its rule is {json.dumps(header.early_stopping)}, which is not hpdist's own")
    return Study(
        space,
        generator,
        optimizer,
        early_stopping=rule,
        objectives=header.objectives,
        direction=header.direction,
        seed=header.seed,
        **header_arguments(header),
    )


def _plain(record: Record) -> dict[str, JsonValue]:
    """As it is read back from a journal, where there are no tuples."""
    plain: dict[str, JsonValue] = json.loads(json.dumps(record_to_json(record)))
    return plain


def _cannot(cause: str) -> ConfigurationError:
    return ConfigurationError(
        "the search cannot be built from its journal alone, so nothing was recomputed",
        cause=cause,
        do="compare it in Python: hpdist.core.run.recompute.recompute(records, study)",
    )
