"""Commands that look after archives: prove them whole, and make damaged ones whole again."""

import json
from typing import Annotated

import typer
from rich.table import Table

from flows.commands.options import DomainArgument, SetOption, overrides_from
from flows.console import err, out
from lsntp.archives.findings import VerifyReport
from lsntp.archives.verification import SAMPLE
from lsntp.archives.verification import verify as verify_domain
from lsntp.config import load_domain
from lsntp.errors import ArchiveError

_SHOWN = 40
"""Findings in the table; --json has all of them."""

JsonOption = Annotated[bool, typer.Option("--json", help="For scripts.")]


def verify(
    domain: DomainArgument,
    everything: Annotated[
        bool, typer.Option("--all", help="Decode every object, not only a sample.")
    ] = False,
    sample: Annotated[
        int, typer.Option(min=0, metavar="N", help="Fields' objects to decode in each archive.")
    ] = SAMPLE,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Prove that the analysis, forecast and evaluation archives are whole; changes nothing.

    That no object is missing is checked for all of them; that they decode to what their status
    says, for a random sample. Safe while a writer is at work. Each finding says what cures it;
    the exit code is 6 if there is any.

    Example: `lsntp verify demo --all`
    """
    resolved = load_domain(domain, overrides=overrides_from(override))
    report = verify_domain(resolved, sample=None if everything else sample)
    if as_json:
        out.print_json(json.dumps({"domain": resolved.domain, **report.to_json()}))
    else:
        _print_verification(report)
    if report.findings:
        raise typer.Exit(ArchiveError.exit_code)


def repair(
    domain: DomainArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the plan.")] = False,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Make again what `lsntp verify DOMAIN --all` finds damaged: from source, models and scores.

    Damaged hours are withdrawn and fetched from the source again; forecasts are made by the
    newest version of their model, those of a version by itself, scores from both. What the source
    no longer has stays missing, never filled, and is named with its remedy; the exit code is then
    6. A second run finds nothing to do.

    Example: `lsntp repair demo --dry-run`
    """
    from lsntp.repair import repair as repair_domain

    resolved = load_domain(domain, overrides=overrides_from(override))
    report = repair_domain(resolved, dry_run=dry_run)
    if as_json:
        out.print_json(json.dumps({"domain": resolved.domain, **report.to_json()}))
    elif report.did_nothing:
        out.print("repair: nothing to do, every archive is whole")
    for line in () if as_json else report.done:
        _print_line(f"{'would repair' if report.is_dry_run else 'repair'}: {line}")
    for line in report.lost:
        err.print(f"[bold red]not repaired:[/] {line}", highlight=False, soft_wrap=True)
    if report.lost:
        raise typer.Exit(ArchiveError.exit_code)


def _print_verification(report: VerifyReport) -> None:
    """One line an archive, then what is wrong."""
    for archive in report.archives:
        state = f"{len(archive.findings)} wrong" if archive.findings else "whole"
        _print_line(
            f"verify: {archive.path.parent.name}/{archive.path.name} {state}; {archive.slots} "
            f"steps, {archive.objects} objects, {archive.decoded} of them decoded"
        )
    if not report.findings:
        return
    table = Table("archive", "array", "what", "where", "remedy")
    found = [(archive, one) for archive in report.archives for one in archive.findings]
    for archive, one in found[:_SHOWN]:
        table.add_row(archive.path.name, one.array or "(root)", one.what, one.where, one.remedy)
    out.print(table)
    if len(found) > _SHOWN:
        _print_line(f"and {len(found) - _SHOWN} more; all of them with --json")


def _print_line(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True, markup=False)
