"""``hpdist journal``: check, repair or show a run's journal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from hpdist.cli.command_decorators import Verb, example, run_argument
from hpdist.cli.exit_codes import Exit
from hpdist.core.model.errors import JournalError
from hpdist.core.model.events import Record


@click.group(epilog=example("hpdist journal check runs/mnist"))
def journal() -> None:
    """Check, repair or show the journal of a run."""


@journal.command(
    "check",
    cls=Verb,
    epilog=example(
        "hpdist journal check runs/mnist", "hpdist journal check runs/mnist --recompute"
    ),
)
@run_argument
@click.option(
    "--recompute", is_flag=True, help="Compare each proposal with the one that is computed now."
)
def check(run: str, recompute: bool) -> Exit:
    """Check whether each record is whole; changes nothing.

    Exit code 1: a record is damaged, or a proposal would differ now.
    """
    from hpdist.core.journal.reader import check_intact, read_journal

    path = _journal(run)
    found = read_journal(path)
    check_intact(path, found)
    click.echo(f"{path}: {len(found.records)} records in {found.good_bytes} bytes, all whole")
    if torn := found.total_bytes - found.good_bytes:
        click.echo(
            f"  after them {torn} bytes of a record that was not written to its end; they are cut "
            "off\n  when the run is resumed, and no acknowledged result is lost"
        )
    if recompute:
        _recompute(path, [record for _, record in found.records])
    return Exit.DONE


@journal.command("repair", cls=Verb, epilog=example("hpdist journal repair runs/mnist"))
@run_argument
def repair(run: str) -> Exit:
    """Keep the whole records before the first damaged one, and a copy of the damaged file."""
    from hpdist.core.journal.reader import check_repairable, read_journal
    from hpdist.core.journal.repair import repair

    path = _journal(run)
    check_repairable(path, read_journal(path))  # before anything is locked
    cut = repair(path)
    if cut:
        click.echo(f"{path}: {cut} bytes cut off; a copy of the former file is beside it")
        click.echo(f"  to go on: hpdist resume {run}")
    else:
        click.echo(f"{path}: nothing to repair")
    return Exit.DONE


@journal.command("show", cls=Verb, epilog=example("hpdist journal show runs/mnist --kind done"))
@run_argument
@click.option("--kind", multiple=True, help="Only records of this kind, such as job or done.")
@click.option("--last", type=click.IntRange(min=1), help="Number of last records to print.")
def show(run: str, kind: tuple[str, ...], last: int | None) -> Exit:
    """Print the records as JSON, one a line, up to the first damaged one."""
    import json

    from hpdist.core.journal.reader import check_intact, read_journal
    from hpdist.core.model.record_codec import RECORDS, record_to_json

    if strange := set(kind) - RECORDS.keys():
        raise click.BadParameter(f"{sorted(strange)[0]!r}: choose from {', '.join(RECORDS)}")
    path = _journal(run)
    found = read_journal(path)
    wanted = [(at, each) for at, each in found.records if not kind or each.kind in kind]
    for at, record in wanted[-last:] if last else wanted:
        click.echo(json.dumps({"at": at, **record_to_json(record)}))
    check_intact(path, found)
    return Exit.DONE


def _recompute(path: Path, records: Sequence[Record]) -> None:
    import json

    from hpdist.core.run.recompute import recompute, study_of
    from hpdist.core.run.resume import versions

    same, deviation = recompute(records, study_of(records))
    if deviation is None:
        click.echo(f"  {same} proposals computed again, all the same")
        return
    recorded, proposed = (
        json.dumps(each, sort_keys=True) if each else "nothing"
        for each in (deviation.recorded, deviation.proposed)
    )
    raise JournalError(
        f"record {deviation.number} of {path} differs from what would be decided now",
        cause=f"recorded: {recorded}\nnow:      {proposed}\n{deviation.why}".rstrip(),
        tried=f"{same} proposals before it are the same; it was written with\n"
        f"{_versions(deviation.versions)}, and installed is\n{_versions(versions())}",
        do="resuming is safe, since it follows the journal; to repeat the search itself, install\n"
        "the versions that wrote it. A search continued with another optimizer or\n"
        "generator (--on-change continue) differs from there on",
    )


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items()) or "(not known)"


def _journal(run: str) -> Path:
    from hpdist.cli.run_status import no_run
    from hpdist.core.journal.run_directory import RunDirectory

    path = RunDirectory(run).journal
    if not path.exists():
        raise no_run(Path(run))
    return path
