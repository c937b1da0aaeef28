"""The command that looks whether somebody has to be called."""

import datetime as dt
import json
from typing import Annotated

import typer
from rich.text import Text

from flows import runtime
from flows.commands.options import DomainArgument, SetOption, overrides_from
from flows.console import out
from lsntp.config import Domain, load_domain
from lsntp.errors import ConfigError
from lsntp.times import utc_now

FAILED = 1
_STYLES = {"green": "green", "yellow": "yellow", "red": "bold red", "unknown": "bright_black"}


def alarms(
    domain: DomainArgument,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    tell: Annotated[
        bool,
        typer.Option(
            "--tell",
            help="As the scheduled watch: write the status page, emit events, post to the webhook.",
        ),
    ] = False,
    test: Annotated[
        bool, typer.Option("--test", help="Post a test notice to the webhook, and nothing else.")
    ] = False,
    override: SetOption = None,
) -> None:
    """Say how a domain stands, and what to do for each alarm.

    Seven things are judged on what is stored, and no source is asked: age of the newest analysis
    and of the champion's newest forecast, coverage, rejected fields, skill drift, promotions that
    failed, disk space. Green is well, yellow worth a look, red an alarm; the limits are those of
    `alarms:` in the domain file. Changes nothing and calls nobody, unless --tell says so. Exit
    code 0 without an alarm, else 1.

    Whoever is to be called: put the address into LSNTP_ALARM_WEBHOOK where the worker runs (or
    into a file that `alarms.webhook_file` names), and try it with --test. Each alarm is posted
    once as JSON when it is raised and once when it ends; the Prefect events are
    `lsntp.alarm.NAME` and `lsntp.all-clear.NAME`.

    Example: `lsntp alarms gfs-6hourly`
    """
    from lsntp.alarms import findings

    overrides = overrides_from(override)
    resolved = load_domain(domain, overrides=overrides)
    if test:
        _try_webhook(resolved)
        return
    if tell:
        _tell(domain, resolved, overrides)
    found = findings(resolved, utc_now())
    if as_json:
        listed = [
            {
                "name": one.name,
                "level": one.level,
                "expected": one.expected,
                "found": one.found,
                "where": one.where,
                "remedy": one.remedy,
                "limits": one.limits,
            }
            for one in found
        ]
        out.print_json(json.dumps({"domain": resolved.domain, "findings": listed}))
    else:
        for one in found:
            line = Text(f"{one.name:<19} ").append(f"{one.level:<8}", _STYLES[one.level])
            out.print(line.append(f" {one.found}"), soft_wrap=True, highlight=False)
            if one.level in ("yellow", "red"):
                for label, text in (
                    ("expected", one.expected),
                    ("limits", one.limits),
                    ("where", one.where),
                    ("do", one.remedy),
                ):
                    out.print(Text(f"{'':<19} {label}: {text}"), soft_wrap=True, highlight=False)
    if any(one.is_alarm for one in found):
        raise typer.Exit(FAILED)


def _tell(domain: str, resolved: Domain, overrides: dict[str, object]) -> None:
    runtime.ensure_limits(resolved)
    from flows.watch import watch as flow

    outcome = flow(domain, overrides=overrides)
    untold = f", {outcome['untold']} notices still to be told" if outcome["untold"] else ""
    out.print(f"status {outcome['page']}{untold}", highlight=False, soft_wrap=True)


def _try_webhook(domain: Domain) -> None:
    """Post a notice that says that it is a test.

    Raises:
        ConfigError: if no webhook is named.
        DeliveryError: if it was not taken.
    """
    from lsntp.alarms.webhook import Webhook
    from lsntp.config import WEBHOOK_VARIABLE

    webhook = Webhook.of(domain)
    if webhook is None:
        raise ConfigError(
            f"Expected a webhook to try, found none: set {WEBHOOK_VARIABLE}, or in the domain file "
            "alarms.webhook_file to the path of a file that holds the address."
        )
    at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    text = f"[{domain.domain}] a test of lsntp: alarms will arrive here"
    webhook.post({"kind": "test", "domain": domain.domain, "at": at, "text": text})
    out.print(f"{webhook.host} has taken a test notice", highlight=False)
