"""Commands that only look: coverage and configurations."""

import json
import sys
from typing import Annotated

import typer
from rich.table import Table

from flows import console
from flows.commands.options import (
    DomainArgument,
    FromOption,
    SetOption,
    ToOption,
    overrides_from,
)
from flows.console import out
from lsntp.config import Domain, load_domain, preset_names
from lsntp.places import Place
from lsntp.times import Period, parse_time, utc_now


def status(
    domain: DomainArgument,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    page: Annotated[
        bool, typer.Option("--page", help="Write status/index.html, and print its path.")
    ] = False,
    start: FromOption = None,
    end: ToOption = None,
    override: SetOption = None,
) -> None:
    """Show what a domain has so far, where everything is, and what to run next.

    Analyses, models, forecasts and scores in a line each; then a calendar in which every
    expected time is final, preliminary, pending, quarantined, a hole upstream or missing, and
    since when and why there is no field. --json lists every span, --from and --to choose a
    period. --page writes how all that alarms watch stands now, as the scheduled watch does, for
    people (index.html) and for programs (DOMAIN.json), and calls nobody.

    Example: `lsntp status demo --json`
    """
    from lsntp.life_cycle import life_cycle
    from lsntp.report.steps import steps_of

    resolved = load_domain(domain, overrides=overrides_from(override))
    if page:
        out.print(f"status {_write_page(resolved)}", highlight=False, soft_wrap=True)
        return
    period = None
    if start is not None or end is not None:
        period = Period(
            parse_time(start) if start else resolved.start, parse_time(end or utc_now())
        )
    hours, steps = life_cycle(resolved, period=period), steps_of(resolved)
    if as_json:
        found = {step.name.lower(): step.found if step.is_done else None for step in steps}
        champion = console.read_champion(resolved)
        summary = {
            "domain": resolved.domain,
            **hours.to_json(),
            "steps": found,
            "champion": champion.version if champion else None,
        }
        out.print_json(json.dumps(summary))
        return
    console.print_status(resolved, hours, steps)


def _write_page(domain: Domain) -> Place:
    from lsntp.alarms import findings
    from lsntp.alarms.notices import remembered
    from lsntp.status.collect import status_of
    from lsntp.status.publish import publish_status

    now = utc_now()
    return publish_status(
        domain, status_of(domain, findings(domain, now), remembered(domain).open, now)
    )


def config_show(domain: DomainArgument, override: SetOption = None) -> None:
    """Print the resolved configuration as YAML.

    Example: `lsntp config show ncep-6hourly > my.yaml`
    """
    sys.stdout.write(load_domain(domain, overrides=overrides_from(override)).to_yaml())


def config_list() -> None:
    """List the presets.

    Example: `lsntp config list`
    """
    table = Table("preset", "grid", "cadence", "description")
    for name in preset_names():
        resolved = load_domain(name)
        height, width = resolved.target_grid.shape
        table.add_row(
            name, f"{height} x {width}", f"{resolved.cadence_h:g} h", resolved.description
        )
    out.print(table)
