"""Commands about rejected fields: look at them, release one, discard one."""

import getpass
import json
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.commands.options import (
    DomainArgument,
    FromOption,
    SetOption,
    ToOption,
    overrides_from,
)
from flows.console import out
from lsntp.archives.quarantine import Quarantine, QuarantineEntry
from lsntp.config import load_domain
from lsntp.errors import ConfigError
from lsntp.times import FIRST_INSTANT, LAST_INSTANT, Period, format_time, parse_time
from lsntp.workspace import Workspace

EntryArgument = Annotated[
    str,
    typer.Argument(
        metavar="ENTRY", help="Name of an entry, the beginning of one, or its time if only one has."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For scripts.")]


def list_entries(
    domain: DomainArgument,
    start: FromOption = None,
    end: ToOption = None,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """List the fields that failed the quality checks: time, name, first reason.

    Each stays until you release it (the field is true after all) or discard it; the pipeline
    itself deletes none. A field mended at the source is fetched and stored without your help.

    Example: `lsntp quarantine list era5-uk --from 2019-03-01 --to 2019-03-08`
    """
    resolved = load_domain(domain, overrides=overrides_from(override))
    quarantine = Quarantine(Workspace.of(resolved).quarantine)
    period = Period(parse_time(start or FIRST_INSTANT), parse_time(end or LAST_INSTANT))
    entries = quarantine.entries(period)
    if as_json:
        out.print_json(json.dumps([_summary(entry) for entry in entries]))
        return
    if not entries:
        out.print(f"no field of {resolved.domain} is in quarantine", highlight=False)
        return
    table = Table(title=f"Quarantine of {resolved.domain}")
    table.add_column("time", no_wrap=True)
    table.add_column("entry", no_wrap=True)
    table.add_column("first reason")
    for entry in entries:
        note = "[green]released[/] " if entry.release is not None else ""
        reason = entry.rejection.reasons[0] if entry.rejection.reasons else ""
        table.add_row(
            format_time(entry.rejection.time),
            entry.name,
            note + escape(reason),
        )
    out.print(table)
    _say(f"{len(entries)} fields in {quarantine.folder}")


def show(
    domain: DomainArgument,
    entry: EntryArgument,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Show why a field was rejected, its values, and how it differs from its stored neighbours.

    Example: `lsntp quarantine show era5-uk 2019-03-05T06:00`
    """
    from lsntp.release import inspect

    resolved = load_domain(domain, overrides=overrides_from(override))
    found = inspect(resolved, entry)
    kept = found.entry
    if as_json:
        content = _summary(kept) | {
            "minimum_k": found.minimum_k,
            "mean_k": found.mean_k,
            "maximum_k": found.maximum_k,
            "without_number": found.without_number,
            "stored": found.stored.name.lower(),
            "limits": json.loads(kept.limits or "{}"),
            "differences": [
                {**vars(difference), "time": format_time(difference.time)}
                for difference in found.differences
            ],
        }
        out.print_json(json.dumps(_without_nan(content)))
        return
    _say(f"entry     {kept.name}")
    _say(f"path      {kept.path}")
    _say(f"time      {format_time(kept.rejection.time)}, came as {kept.status.name.lower()}")
    _say(f"stored    {found.stored.name.lower()}")
    _say(f"cells     {found.grid}")
    _say(
        f"values    min {found.minimum_k:.2f} K, mean {found.mean_k:.2f} K, "
        f"max {found.maximum_k:.2f} K, {found.without_number} cells without a number"
    )
    for reason in kept.rejection.reasons:
        _say(f"reason    {reason}")
    if kept.release is not None:
        _say(f"released  {format_time(kept.release.at)} by {kept.release.by}: {kept.release.why}")
    for name, value in json.loads(kept.limits or "{}").items():
        _say(f"limit     {name} {value}")
    if not found.differences:
        _say("neighbours  no stored field within a day")
        return
    table = Table(title="What it would change against stored fields")
    for heading in ("stored field", "mean", "largest", "at", "unchanged", "correlation"):
        table.add_column(heading, no_wrap=heading == "stored field")
    for difference in found.differences:
        table.add_row(
            format_time(difference.time),
            f"{difference.mean_k:+.2f} K",
            f"{difference.largest_k:+.2f} K",
            f"{difference.latitude:g} N {difference.longitude:g} E",
            f"{difference.unchanged:.0%}",
            f"{difference.correlation:.3f}",
        )
    out.print(table)


def release(
    domain: DomainArgument,
    entry: EntryArgument,
    why: Annotated[str, typer.Option("--why", help="Your reason; kept in the entry.")],
    by: Annotated[
        str | None, typer.Option("--by", help="Who vouches; default: the user of this machine.")
    ] = None,
    override: SetOption = None,
) -> None:
    """Store a rejected field after all: you vouch for it.

    It is regridded and published as an ingest would have done. Who, when and why is kept in the
    entry, and no later ingest rejects the field again. An hour that is final already is refused.

    Example: `lsntp quarantine release era5-uk 2019-03-05T06:00 --why "storm seen by all stations"`
    """
    from lsntp.release import release as publish
    from lsntp.times import utc_now

    resolved = load_domain(domain, overrides=overrides_from(override))
    report = publish(resolved, entry, by=by or getpass.getuser(), why=why, now=utc_now())
    time = format_time(report.entry.rejection.time)
    if report.was_stored:
        _say(f"released before: {time} holds this field")
    else:
        instead = " in place of a preliminary field" if report.replaced else ""
        _say(f"released: {time} is stored as {report.entry.status.name.lower()}{instead}")


def discard(
    domain: DomainArgument,
    entry: EntryArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    override: SetOption = None,
) -> None:
    """Remove a rejected field; the next ingest fetches its hour and judges it anew.

    Example: `lsntp quarantine discard era5-uk 20190305T0600Z-abababababab --yes`
    """
    from lsntp.release import discard as remove

    resolved = load_domain(domain, overrides=overrides_from(override))
    kept = Quarantine(Workspace.of(resolved).quarantine).find(entry)
    if not yes and not _is_confirmed(f"Remove {kept.path} for good?"):
        _say(f"kept {kept.name}")
        return
    removed = remove(resolved, kept.name)
    _say(f"discarded {removed.name}; `lsntp ingest {domain}` fetches its hour again")


def _summary(entry: QuarantineEntry) -> dict[str, Any]:
    release = entry.release
    return {
        "name": entry.name,
        "time": format_time(entry.rejection.time),
        "digest": entry.digest,
        "status": entry.status.name.lower(),
        "reasons": list(entry.rejection.reasons),
        "path": str(entry.path),
        "released": release
        and {"at": format_time(release.at), "by": release.by, "why": release.why},
    }


def _is_confirmed(question: str) -> bool:
    """What somebody answers.

    Raises:
        ConfigError: if nobody can, as in a script.
    """
    try:
        return typer.confirm(question)
    except typer.Abort as error:
        raise ConfigError("Expected an answer, found none; in a script give --yes.") from error


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def _say(text: str) -> None:
    out.print(escape(text), highlight=False, soft_wrap=True)
