"""Commands that only look: coverage and configurations."""

import json
import sys
from typing import Annotated

import typer
from rich.table import Table

from flows import console
from flows.commands.options import DomainArgument, SetOption, overrides_from
from flows.console import out
from lsntp.config import load_domain, preset_names


def status(
    domain: DomainArgument,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    override: SetOption = None,
) -> None:
    """Show what a domain has so far, where everything is, and what to run next.

    Analyses, models, forecasts and scores in a line each, and which times of the analysis
    archive are final, preliminary, quarantined or missing.

    Example: `lsntp status demo --json`
    """
    from lsntp.report.steps import steps_of
    from lsntp.training.champion import champion_of

    resolved = load_domain(domain, overrides=overrides_from(override))
    known, steps = console.coverage_of(resolved), steps_of(resolved)
    if as_json:
        found = {step.name.lower(): step.found if step.is_done else None for step in steps}
        champion = champion_of(resolved)
        summary = {
            "domain": resolved.domain,
            **known.summary(),
            "steps": found,
            "champion": champion.version if champion else None,
        }
        out.print_json(json.dumps(summary))
        return
    console.print_status(resolved, known, steps, domain)


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
