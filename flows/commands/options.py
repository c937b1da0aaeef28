"""Arguments that many commands share."""

from typing import Annotated, Any

import typer
import yaml

from lsntp.errors import ConfigError, DomainError
from lsntp.times import parse_time


def _checked_time(option: typer.CallbackParam, value: str | None) -> str | None:
    """A time that was typed, refused before anything starts if it is none."""
    if value is not None:
        try:
            parse_time(value)
        except DomainError as error:
            raise ConfigError(f"{option.opts[0]}: {error}") from error
    return value


DomainArgument = Annotated[
    str, typer.Argument(metavar="DOMAIN", help="A preset name or the path of a domain YAML.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. source.seed=3."),
]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="First time, ISO 8601; UTC unless it has an offset.",
        callback=_checked_time,
    ),
]
ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="TIME",
        help="End (not included), ISO 8601; UTC unless it has an offset.",
        callback=_checked_time,
    ),
]
ModelOption = Annotated[
    list[str] | None, typer.Option("--model", metavar="NAME", help="Only this model; repeatable.")
]


def overrides_from(pairs: list[str] | None) -> dict[str, Any]:
    """``["a.b=3"]`` -> ``{"a.b": 3}``; values are YAML.

    Raises:
        ConfigError: for a pair without a key, or a value that is not YAML.
    """
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
