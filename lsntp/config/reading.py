"""From a preset name or a YAML file to a domain; every fault named with file, key and value."""

import glob
import os
import re
import reprlib
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lsntp.config.domain import NAME_PATTERN, ROOT_VARIABLE, WORK_VARIABLE, Domain
from lsntp.errors import ConfigError, DomainError


def preset_names() -> list[str]:
    """The domains shipped with the package."""
    folder = resources.files("lsntp") / "presets"
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    )


def load_domain(name_or_path: str | Path, *, overrides: dict[str, Any] | None = None) -> Domain:
    """The domain of a preset name or a YAML file.

    Args:
        name_or_path: ``demo`` or ``path/to/domain.yaml``.
        overrides: dotted keys to values, such as ``{"source.seed": 3}``.

    Raises:
        ConfigError: naming file, key, value and what is allowed.
    """
    text, label, folder = _read(name_or_path)
    content = _parse(text, label)
    if not isinstance(content, dict):
        raise ConfigError(f"Expected key: value lines in {label}, found {type(content).__name__}.")
    for key, value in (overrides or {}).items():
        _set(content, key, value)
    for key, variable in (("root", ROOT_VARIABLE), ("work", WORK_VARIABLE)):
        value = os.environ.get(variable)
        if value and key not in (overrides or {}):
            content[key] = value
    _resolve_paths(content, folder)
    try:
        domain = Domain.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_explain(error, content, label)) from error
    except DomainError as error:
        raise ConfigError(f"{label}: {error}") from error
    return domain.loaded_from(str(name_or_path))


def _read(name_or_path: str | Path) -> tuple[str, str, Path]:
    """Text, label for messages, and the folder that relative paths start at."""
    name = str(name_or_path)
    if re.fullmatch(NAME_PATTERN, name):
        if name in preset_names():
            preset = resources.files("lsntp") / "presets" / f"{name}.yaml"
            return preset.read_text("utf-8"), f"preset {name}", Path.cwd()
        raise ConfigError(
            f"Expected a preset ({', '.join(preset_names())}) or a YAML file, found {name!r}."
        )
    path = Path(name)
    try:
        return path.read_text("utf-8"), str(path), path.resolve().parent
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Expected a readable YAML file at {path}, or a preset ({', '.join(preset_names())}): "
            f"{error}."
        ) from error


class _UniqueKeys(yaml.SafeLoader):
    """The safe loader, which alone would let the last of two equal keys win in silence."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(None, None, f"key {key.value} twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return node


def _parse(text: str, label: str) -> Any:
    try:
        return _UniqueKeys(text).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Dates that are none and endless nesting are no YAMLError.
        raise ConfigError(f"Expected valid YAML in {label}: {error}.") from error


def _set(content: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested dictionaries, only there: YAML's aliases share sections."""
    *parents, last = key.split(".")
    for parent in parents:
        child = content.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"Expected {key} to lead into a section, found {parent}: {child!r}.")
        content[parent] = content = dict(child)
    content[last] = value


def _resolve_paths(content: dict[str, Any], folder: Path) -> None:
    """Make paths and globs absolute, so that a stored configuration means the same anywhere."""
    for section in (content.get("source"), content.get("static")):
        if isinstance(section, dict) and isinstance(section.get("paths"), list):
            section["paths"] = [
                _absolute(path, folder) if isinstance(path, str) else path
                for path in section["paths"]
            ]
    alarms = content.get("alarms")
    if isinstance(alarms, dict) and isinstance(file := alarms.get("webhook_file"), str):
        alarms["webhook_file"] = file if "://" in file else str(folder / Path(file).expanduser())


def _absolute(path: str, folder: Path) -> str:
    expanded = os.path.expandvars(path)
    if "://" in expanded:
        return expanded
    return str(Path(glob.escape(str(folder))) / Path(expanded).expanduser())


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 200, 200
"""A few lines of YAML can name a value that would fill the memory when written out."""


def _explain(error: ValidationError, content: dict[str, Any], label: str) -> str:
    """One line per fault: file, key, value, what is allowed."""
    lines = []
    for fault in error.errors():
        key = ".".join(_keys(fault, content)) or "the whole file"
        if fault["type"] == "extra_forbidden":
            lines.append(f"{label}: unknown key {key}; remove it or correct its spelling")
            continue
        found = fault["input"]
        shown = "" if isinstance(found, dict | BaseModel) else f", found {_SHORT.repr(found)}"
        words = fault["msg"].removeprefix("Value error, ")
        lines.append(f"{label}: {key}: {words}{shown}")
    return "\n".join(lines)


def _keys(fault: ErrorDetails, content: Any) -> list[str]:
    """Where a fault is, in keys of the file: pydantic's place also names kinds of sections."""
    keys, inside = [], content
    for part in fault["loc"]:
        children = _children(inside)
        inside = children.get(part, inside)
        if part in children or part == "[key]":
            keys.append(str(part))
    if fault["type"] == "missing":
        keys.append(str(fault["loc"][-1]))
    return keys


def _children(value: Any) -> dict[Any, Any]:
    """What a section or a list holds; a plain value holds nothing."""
    if isinstance(value, list):
        return dict(enumerate(value))
    return value if isinstance(value, dict) else {}
