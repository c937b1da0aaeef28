"""Command lines of manifests and texts, parsed by the programs' own parsers; nothing is run."""

from collections.abc import Sequence
from typing import Any

import typer
from distributed.cli import dask_scheduler, dask_worker

PROGRAMS = ("lsntp", "prefect", "dask")


class UnknownCommandLineError(Exception):
    """A program would refuse the command line."""


def parse(words: Sequence[str]) -> dict[str, Any]:
    """The options and arguments that a program takes from a command line.

    Raises:
        UnknownCommandLineError: for an unknown command or option, or a missing one.
    """
    program, *rest = words
    parsers = {"lsntp": _of_lsntp, "prefect": _of_prefect, "dask": _of_dask}
    try:
        return parsers[program](rest)
    except Exception as error:
        raise UnknownCommandLineError(f"{' '.join(words)}: {error}") from error


def _of_lsntp(words: list[str]) -> dict[str, Any]:
    from flows.cli import app

    return _of_click(typer.main.get_command(app), "lsntp", words)


def _of_click(command: Any, name: str, words: list[str]) -> dict[str, Any]:
    """Down the groups to the command; what making its context does not refuse, it takes."""
    context = command.make_context(name, list(words))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        context = command.make_context(name, rest, parent=context)
    return dict(context.params)


def _of_prefect(words: list[str]) -> dict[str, Any]:
    from prefect.cli._app import _app

    words = [word for word in words if word not in ("--no-prompt", "--prompt")]
    _, bound, *_ = _app.parse_args(words, exit_on_error=False, print_error=False)
    return dict(bound.arguments)


def _of_dask(words: list[str]) -> dict[str, Any]:
    command = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[words[0]]
    taken = dict(command.make_context(words[0], words[1:]).params)
    # Words that the parser does not know it takes for an address, or keeps for --preload.
    odd = [taken.get("scheduler") or "", *taken.pop("preload_argv", ())]
    if unknown := [word for word in odd if word.startswith("-")]:
        raise ValueError(f"unknown {unknown}")
    return taken
