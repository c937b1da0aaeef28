"""Fits that were not finished: what tells them from the one that begins now."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lsntp.archives.staging import storage_errors
from lsntp.durable import replace_file
from lsntp.training.provenance import Recipe

RECIPE = "recipe.json"
CHECKPOINTS = "checkpoints"
CHECKPOINT_PATTERN = "*.ckpt"

_log = logging.getLogger(__name__)


def begin(work: Path, recipe: Recipe) -> None:
    """Note the recipe of a fit in its folder; a fresh one is told from unfinished others.

    A checkpoint serves one recipe. Who changed a setting, or whose data changed, begins afresh:
    a warning then names the unfinished fits of the same model and what was other.

    Args:
        work: the folder of this fit, ``<work>/training/<version>``.
        recipe: of the version to be made.

    Raises:
        StorageError: if the folder cannot be written.
    """
    if not _has_checkpoints(work):
        for folder, other in _unfinished(work.parent, recipe):
            differences = ", ".join(_differences(recipe, other))
            _log.warning(
                "%s starts afresh: the unfinished fit in %s is of another recipe (%s). It is kept; "
                "go back to that recipe to complete it, or remove the folder.",
                *(recipe.version, folder, differences),
            )
    with storage_errors(str(work)):
        work.mkdir(parents=True, exist_ok=True)
        replace_file(work / RECIPE, recipe.model_dump_json(indent=2).encode() + b"\n")


def finish(work: Path) -> None:
    """Remove the checkpoints of a fit whose version is stored; its log stays."""
    for folder in work.glob(f"**/{CHECKPOINTS}"):
        shutil.rmtree(folder, ignore_errors=True)


def _unfinished(folder: Path, recipe: Recipe) -> Iterator[tuple[Path, Recipe]]:
    """Other fits of the same model that left checkpoints."""
    for path in sorted(folder.glob(f"{recipe.model}-*/{RECIPE}")):
        try:
            other = Recipe.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue  # of another code version, or damaged: nothing to compare with
        is_other = other.model == recipe.model and other.version != recipe.version
        if is_other and _has_checkpoints(path.parent):
            yield path.parent, other


def _has_checkpoints(work: Path) -> bool:
    return any(work.glob(f"**/{CHECKPOINTS}/{CHECKPOINT_PATTERN}"))


def _differences(recipe: Recipe, other: Recipe) -> Iterator[str]:
    """``settings.training.epochs 3, there 2`` for every value that differs."""
    now, then = (dict(_flat(entry.model_dump(mode="json"))) for entry in (recipe, other))
    for name in sorted(now.keys() | then.keys()):
        if now.get(name) != then.get(name):
            yield f"{name} {now.get(name)} here, {then.get(name)} there"


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
