"""The command line: the outermost layer, importing Prefect and torch only inside commands."""

import signal
import sys
import traceback
from typing import Annotated

import typer
from rich.markup import escape

from flows import runtime
from flows.commands import analyse, archives, look, models, quarantine, run
from flows.commands.alarms import alarms
from flows.commands.compare import compare
from flows.commands.deploy import deploy
from flows.commands.doctor import doctor
from flows.commands.export import export
from flows.commands.static import static
from flows.console import err
from lsntp.errors import LsntpError

EXIT_CODES = """\
Exit codes: 0 done, 1 unexpected, or something is red (doctor, alarms), 2 configuration or usage,
3 grid or period, 4 bad data, 5 source unavailable, 6 archive damaged or not there yet, 7 archive
busy, 8 storage (full, read-only), 9 too little training data, 10 model or GPU, 11 evaluation,
12 scheduler, cluster or a lost process, 13 key or licence, 14 server and files differ (deploy
--check), 130 interrupted, 143 ended. 5, 7 and mostly 12 are worth a retry."""

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
JOB, LOOK, AFTER = "The job, in order", "Look at results", "Set up and look after"
KEEP = "Keep the analyses complete"
PANELS = {
    JOB: (run.demo, run.ingest, run.prepare, run.train, run.forecast, run.evaluate, run.report),
    KEEP: (run.reconcile, run.backfill),
    LOOK: (look.status, compare, export),
    AFTER: (
        doctor,
        alarms,
        archives.verify,
        archives.repair,
        static,
        deploy,
        models.import_checkpoint,
    ),
}
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)

config_app = typer.Typer(help="Look at configurations.", no_args_is_help=True)
config_app.command("show")(look.config_show)
config_app.command("list")(look.config_list)
app.add_typer(config_app, name="config", rich_help_panel=AFTER)

analyse_app = typer.Typer(help="Look into trained networks.", no_args_is_help=True)
analyse_app.command("correlations")(analyse.correlations)
app.add_typer(analyse_app, name="analyse", rich_help_panel=LOOK)

models_app = typer.Typer(
    help="Look at model versions, compare them, choose the champion.", no_args_is_help=True
)
models_app.command("list")(models.list_versions)
models_app.command("show")(models.show)
models_app.command("compare")(models.compare)
models_app.command("promote")(models.promote)
models_app.command("rollback")(models.rollback)
app.add_typer(models_app, name="models", rich_help_panel=AFTER)

quarantine_app = typer.Typer(
    help="Look at, release or discard rejected fields.", no_args_is_help=True
)
quarantine_app.command("list")(quarantine.list_entries)
quarantine_app.command("show")(quarantine.show)
quarantine_app.command("release")(quarantine.release)
quarantine_app.command("discard")(quarantine.discard)
app.add_typer(quarantine_app, name="quarantine", rich_help_panel=AFTER)


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
        if (cause := runtime.known_cause(error)) is not None:
            _print_error(str(cause))
            sys.exit(cause.exit_code)
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
