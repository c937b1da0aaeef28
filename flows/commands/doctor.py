"""The command that looks whether everything is there that a run needs."""

import json
import os
from typing import Annotated

import typer
from rich.text import Text

from flows import runtime
from flows.commands.options import SetOption, overrides_from
from flows.console import out
from lsntp.config import ROOT_VARIABLE, Domain, load_domain
from lsntp.config.domain import DEFAULT_ROOT
from lsntp.doctor.check import Check, Health, skipped
from lsntp.places import place_of
from lsntp.times import utc_now
from lsntp.workspace import Workspace

FAILED = 1
_MARKS = {
    Health.OK: ("ok     ", "green"),
    Health.WARNING: ("warning", "yellow"),
    Health.FAILED: ("FAILED ", "bold red"),
    Health.SKIPPED: ("skipped", "bright_black"),
}


def doctor(
    domain: Annotated[
        str | None,
        typer.Argument(metavar="[DOMAIN]", help="A preset name or the path of a domain YAML."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    override: SetOption = None,
) -> None:
    """Check what a run needs, and say what to do for each thing that fails.

    Python and package versions, archive root, disk space, clock; what the domain's source and
    static fields need (ERA5: key and licence, GFS: the bucket, NCEP: the file hosts); whether the
    Prefect server has a run to come of every schedule, none that waits, and a worker in each pool;
    and, once there are any, whether the newest analysis and forecast are fresh. Changes nothing,
    submits nothing, shows no key. Exit code 0 if nothing failed, else 1.

    Example: `lsntp doctor era5-hourly`
    """
    from lsntp.doctor.examination import examine

    resolved = load_domain(domain, overrides=overrides_from(override)) if domain else None
    checks = examine(resolved, place_of(os.environ.get(ROOT_VARIABLE, DEFAULT_ROOT)))
    checks += _scheduler(resolved.domain if resolved else None)
    if resolved and Workspace.of(resolved).analysis.exists():
        checks += _freshness(resolved)
    if as_json:
        found = {"ok": not _any_failed(checks), "checks": [check.to_json() for check in checks]}
        out.print_json(json.dumps(found))
    else:
        for check in checks:
            _print(check)
    if _any_failed(checks):
        raise typer.Exit(FAILED)


def _scheduler(domain: str | None) -> list[Check]:
    if not runtime.has_chosen_server():
        why = "no server chosen (PREFECT_API_URL); commands start an embedded one"
        return [skipped("prefect api", why)]
    from flows.health import check_scheduler

    return check_scheduler(domain)


def _freshness(domain: Domain) -> list[Check]:
    """Whether the newest slots are as new as they can be, by the limits of the alarms."""
    from lsntp.alarms import findings
    from lsntp.alarms.finding import AlarmName, Level

    healths = {
        Level.GREEN: Health.OK,
        Level.YELLOW: Health.WARNING,
        Level.RED: Health.FAILED,
        Level.UNKNOWN: Health.SKIPPED,
    }
    names = {AlarmName.STALE_ANALYSIS: "newest analysis", AlarmName.STALE_FORECAST: "forecasts"}
    return [
        Check(
            names[one.name],
            healths[one.level],
            one.found,
            expected=one.expected if one.level in (Level.YELLOW, Level.RED) else "",
            remedy=one.remedy if one.level in (Level.YELLOW, Level.RED) else "",
        )
        for one in findings(domain, utc_now())
        if one.name in names
    ]


def _any_failed(checks: list[Check]) -> bool:
    return any(check.health == Health.FAILED for check in checks)


def _print(check: Check) -> None:
    mark, style = _MARKS[check.health]
    line = Text(f"{check.name:<18} ").append(mark, style).append(f"  {check.found}")
    out.print(line, soft_wrap=True, highlight=False)
    for label, text in (("expected", check.expected), ("do", check.remedy)):
        if text:
            out.print(Text(f"{'':<18} {label}: {text}"), soft_wrap=True, highlight=False)
