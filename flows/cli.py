"""The command line: the outermost layer, importing Prefect and torch only inside commands."""

import json
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.markup import escape
from rich.table import Table

from flows import console, runtime
from flows.console import err, out
from lsntp.config import load_domain, preset_names
from lsntp.errors import ConfigError, LsntpError
from lsntp.workspace import Workspace

EXIT_CODES = """\
Exit codes: 0 done, 1 unexpected, 2 configuration or usage, 3 grid or period, 4 bad data,
5 source unavailable, 6 archive, 7 archive busy, 8 storage (full, read-only), 9 training data,
10 model, 11 evaluation, 12 scheduler, 130 interrupted, 143 ended. 5 and 7 are worth a retry."""

UNEXPECTED = 1
INTERRUPTED = 130
TERMINATED = 143

app = typer.Typer(
    name="lsntp",
    help="Near-surface temperature forecasting: from raw reanalysis to verified forecasts.\n\n"
    "Start with `lsntp demo`; then copy a preset with `lsntp config show ncep-6hourly > my.yaml`, "
    "edit it, and pass my.yaml where a DOMAIN is asked for.\n\n" + EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(help="Look at configurations.", no_args_is_help=True)
app.add_typer(config_app, name="config")


DomainArgument = Annotated[
    str, typer.Argument(metavar="DOMAIN", help="A preset name or the path of a domain YAML.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. source.seed=3."),
]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="First time, ISO 8601, UTC.")
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="End (not included), ISO 8601, UTC.")
]
ModelOption = Annotated[
    list[str] | None, typer.Option("--model", metavar="NAME", help="Only this model; repeatable.")
]


class _State:
    debug = False


@app.callback()
def _main(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and Prefect's log.")
    ] = False,
) -> None:
    _State.debug = debug
    runtime.configure(debug=debug)


def main() -> None:
    """Entry point: runs a command; an error becomes one line and an exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # ends the embedded server too
    try:
        app()
    except SystemExit as end:
        if end.code in (INTERRUPTED, TERMINATED):
            _print_error("interrupted; what was published is whole, and a rerun does the rest.")
        raise
    except LsntpError as error:
        _print_error(str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        _print_error(
            f"unexpected {type(error).__name__}: {error}; see it whole with lsntp --debug."
        )
        sys.exit(UNEXPECTED)


def _print_error(text: str) -> None:
    """The traceback of the error at hand, if asked for, and what it says."""
    if _State.debug:
        traceback.print_exc()
    for line in text.splitlines():
        err.print(f"[bold red]error:[/] {escape(line)}", highlight=False, soft_wrap=True)


# --- commands -------------------------------------------------------------------------------


@app.command()
def ingest(
    domain: DomainArgument,
    start: FromOption = None,
    end: ToOption = None,
    override: SetOption = None,
) -> None:
    """Fetch, check, regrid and store the hours that are not final yet.

    Example: `lsntp ingest ncep-north-america --from 2013-01-01 --to 2014-01-01`
    """
    overrides = _overrides(override)
    runtime.ensure_limits(load_domain(domain, overrides=overrides))
    from flows.ingest import ingest as flow

    outcome = flow(domain, start=start, end=end, overrides=overrides)
    console.print_ingest(outcome)


@app.command()
def prepare(domain: DomainArgument, override: SetOption = None) -> None:
    """Normalise the training period into training archives; unchanged inputs are not rebuilt.

    Example: `lsntp prepare demo`
    """
    overrides = _overrides(override)
    runtime.ensure_limits(load_domain(domain, overrides=overrides))
    from flows.train import prepare as flow

    for path in flow(domain, overrides=overrides):
        out.print(f"training archive {path}", highlight=False, soft_wrap=True)


@app.command()
def train(
    domain: DomainArgument,
    model: ModelOption = None,
    fine_tune: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Start from this version's weights.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Train even if the version exists.")] = False,
    override: SetOption = None,
) -> None:
    """Fit baselines and networks; a model whose inputs did not change is left as it is.

    Example: `lsntp train demo --model lsntp --set networks.lsntp.training.epochs=2`
    """
    overrides = _overrides(override)
    runtime.ensure_limits(load_domain(domain, overrides=overrides))
    from flows.train import train as flow

    outcome = flow(domain, models=model, fine_tune_from=fine_tune, force=force, overrides=overrides)
    console.print_train(outcome)


@app.command()
def forecast(
    domain: DomainArgument,
    model: ModelOption = None,
    start: FromOption = None,
    end: ToOption = None,
    latest: Annotated[bool, typer.Option(help="Only the newest initial time.")] = False,
    override: SetOption = None,
) -> None:
    """Forecast from every initial time with a complete history and no forecast yet.

    Starts at the test period unless --from says otherwise: earlier hours were trained on.

    Example: `lsntp forecast demo --latest`
    """
    overrides = _overrides(override)
    runtime.ensure_limits(load_domain(domain, overrides=overrides))
    from flows.forecast import forecast as flow

    outcome = flow(domain, models=model, start=start, end=end, latest=latest, overrides=overrides)
    console.print_forecast(outcome)


@app.command()
def evaluate(domain: DomainArgument, model: ModelOption = None, override: SetOption = None) -> None:
    """Score every forecast whose truth has arrived and print the skill table.

    Example: `lsntp evaluate demo`
    """
    overrides = _overrides(override)
    resolved = load_domain(domain, overrides=overrides)
    runtime.ensure_limits(resolved)
    from flows.evaluate import evaluate as flow

    outcome = flow(domain, models=model, overrides=overrides)
    console.print_evaluate(outcome)
    console.print_skill(resolved)


@app.command()
def report(domain: DomainArgument, override: SetOption = None) -> None:
    """Write the self-contained HTML report and print its path.

    Example: `lsntp report demo`
    """
    overrides = _overrides(override)
    runtime.ensure_limits(load_domain(domain, overrides=overrides))
    from flows.evaluate import report as flow

    out.print(f"report {flow(domain, overrides=overrides)}", highlight=False, soft_wrap=True)


@app.command()
def status(
    domain: DomainArgument,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    override: SetOption = None,
) -> None:
    """Show which hours the analysis archive holds and where everything is.

    Example: `lsntp status demo --json`
    """
    resolved = load_domain(domain, overrides=_overrides(override))
    known = console.coverage_of(resolved)
    if as_json:
        out.print_json(json.dumps({"domain": resolved.domain, **known.summary()}))
        return
    console.print_coverage(resolved, known)


@app.command()
def demo(
    override: SetOption = None,
    root: Annotated[
        Path | None, typer.Option(help="Archive root; default: LSNTP_ROOT or lsntp-data.")
    ] = None,
) -> None:
    """Run the whole job offline on synthetic data: source to HTML report in a few minutes.

    Example: `lsntp demo --root /tmp/lsntp-demo`
    """
    overrides = _overrides(override)
    if root is not None:
        overrides["root"] = str(root)
    resolved = load_domain("demo", overrides=overrides)
    runtime.use_private_server(Workspace.of(resolved).root)
    runtime.ensure_limits(resolved)
    from flows.pipeline import pipeline

    outcome = pipeline("demo", overrides=overrides)
    console.print_ingest(outcome["ingest"])
    console.print_train(outcome["train"])
    console.print_forecast(outcome["forecast"])
    console.print_evaluate(outcome["evaluate"])
    console.print_skill(resolved)
    out.print()
    for entry in outcome["forecast"]:
        out.print(f"forecast    {entry['path']}", highlight=False, soft_wrap=True)
    out.print(f"evaluation  {Workspace.of(resolved).evaluation}", highlight=False, soft_wrap=True)
    out.print(f"report      {outcome['report']}", highlight=False, soft_wrap=True)


@app.command()
def deploy(domain: DomainArgument, override: SetOption = None) -> None:
    """Create work pool, limits and scheduled deployments on the Prefect server; rerun freely.

    Example: `lsntp deploy my.yaml`, then `prefect worker start --pool cpu`
    """
    overrides = _overrides(override)
    resolved = load_domain(domain, overrides=overrides)
    from flows.bootstrap import deploy as create

    reference = domain if domain in preset_names() else str(Path(domain).resolve())
    table = Table("what", "name", "")
    for change in create(resolved, reference, overrides):
        table.add_row(change.kind, change.name, "created" if change.created else "already there")
    out.print(table)
    out.print("Start a worker with: prefect worker start --pool cpu")


@config_app.command("show")
def config_show(domain: DomainArgument, override: SetOption = None) -> None:
    """Print the resolved configuration as YAML.

    Example: `lsntp config show ncep-6hourly > my.yaml`
    """
    sys.stdout.write(load_domain(domain, overrides=_overrides(override)).to_yaml())


@config_app.command("list")
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


# --- input and output -----------------------------------------------------------------------


def _overrides(pairs: list[str] | None) -> dict[str, Any]:
    """``["a.b=3"]`` -> ``{"a.b": 3}``; values are YAML."""
    overrides: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"Expected --set KEY=VALUE, found {pair!r}.")
        try:
            overrides[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"Expected a YAML value in --set {pair!r}: {error}.") from error
    return overrides
