"""Model versions: immutable folders of weights, configuration, statistics, scores, provenance.

``models/<domain>/<version>/`` holds ``model.safetensors``, ``config.yaml``,
``statistics.json``, ``scores.json`` and ``provenance.json``. A version is written aside
and renamed, so it is whole or absent. Nothing in it is ever unpickled.
"""

import datetime as dt
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from lsntp.archives.lease import writer_lease
from lsntp.aside import aside_of, sweep_asides
from lsntp.config import Domain
from lsntp.durable import write_through
from lsntp.errors import LsntpError, ModelError, StorageError
from lsntp.names import VERSION_PATTERN
from lsntp.places import Place, S3Path, matching
from lsntp.times import Period
from lsntp.training.provenance import Provenance

Tensors = Mapping[str, npt.NDArray[Any]]

TENSORS = "model.safetensors"
CONFIG = "config.yaml"
STATISTICS = "statistics.json"
SCORES = "scores.json"
PROVENANCE = "provenance.json"
FILES = (TENSORS, CONFIG, STATISTICS, SCORES, PROVENANCE)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelVersion:
    """One version on disk. Opening reads the provenance; tensors are read and verified on use.

    Attributes:
        path: the folder of the version.
        provenance: its recipe and history.
    """

    path: Place
    provenance: Provenance

    @classmethod
    def open(cls, path: Place) -> Self:
        """The version in the folder ``path``.

        Raises:
            ModelError: if the folder is no complete version.
        """
        present = {file.name for file in path.iterdir()} if path.is_dir() else set()
        absent = [name for name in FILES if name not in present]
        if absent:
            raise ModelError(
                f"Expected a model version of {', '.join(FILES)} in {path}, found no "
                f"{', '.join(absent)}; remove the folder and run `lsntp train`."
            )
        try:
            provenance = Provenance.model_validate_json((path / PROVENANCE).read_bytes())
        except LsntpError:
            raise
        except (OSError, ValidationError) as error:
            raise ModelError(
                f"Expected a readable {path / PROVENANCE}, found: {error}. "
                "Remove the folder and run `lsntp train`."
            ) from error
        if provenance.version != path.name:
            raise ModelError(
                f"Expected the provenance of {path.name} in {path}, found that of "
                f"{provenance.version}; version folders must not be renamed."
            )
        return cls(path, provenance)

    @property
    def version(self) -> str:
        """``<model>-<digest>``."""
        return self.provenance.version

    @property
    def model(self) -> str:
        """The model's name in the domain file."""
        return self.provenance.recipe.model

    @property
    def kind(self) -> Literal["baseline", "network"]:
        """Whether a torch network must be built to forecast."""
        return self.provenance.recipe.kind

    @property
    def config(self) -> dict[str, Any]:
        """The resolved domain configuration the version was trained with."""
        content = self._parse(CONFIG, yaml.safe_load)
        if not isinstance(content, dict):
            raise ModelError(f"Expected key: value lines in {self.path / CONFIG}, found none.")
        return content

    @property
    def statistics(self) -> dict[str, Any]:
        """The statistics of the training data."""
        return dict(self._parse(STATISTICS, json.loads))

    @property
    def scores(self) -> dict[str, Any]:
        """Validation scores per lead; see :func:`lsntp.training.scores.validation_scores`."""
        return dict(self._parse(SCORES, json.loads))

    @property
    def seen(self) -> Period:
        """From the start of training to the end of validation."""
        recipe = self.provenance.recipe
        return Period.parse(recipe.training_period[0], recipe.validation_period[1])

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The stored arrays by name, after the file's SHA-256 was verified.

        Raises:
            ModelError: if the file is damaged, or is no safetensors file.
        """
        content = self._sealed(TENSORS, self.provenance.tensors_sha256)
        try:
            return dict(load_safetensors(content))
        except SafetensorError as error:
            raise ModelError(
                f"Expected a safetensors file at {self.path / TENSORS}, found something else "
                f"({error}); no other format is loaded."
            ) from error

    def check_fits(self, domain: Domain) -> None:
        """Refuse to be used on another grid, history, horizon or cadence.

        Raises:
            ModelError: naming every difference.
        """
        recipe = self.provenance.recipe
        differences = []
        if recipe.grid_digest != domain.target_grid.digest:
            differences.append(f"grid {domain.target_grid}, found {self.provenance.grid}")
        differences += [
            f"{name} {wanted:g}, found {found:g}"
            for name, wanted, found in (
                ("history", domain.history, recipe.history),
                ("horizon", domain.horizon, recipe.horizon),
                ("cadence_h", domain.cadence_h, recipe.cadence_h),
            )
            if wanted != found
        ]
        if differences:
            raise ModelError(
                f"Expected a model for domain {domain.domain} with {'; with '.join(differences)}, "
                f"in {self.path}; run `lsntp train` for this domain or restore its configuration."
            )

    def check_has_not_seen(self, *, validation: Period, test: Period) -> None:
        """Refuse to be the start of a model that is judged on what this one was trained on.

        Both may have been validated on the same hours: weights are chosen by them, not fitted.

        Raises:
            ModelError: naming both periods.
        """
        recipe, seen = self.provenance.recipe, self.seen
        trained = Period.parse(*recipe.training_period)
        if seen.start < test.end and test.start < seen.end:
            raise ModelError(
                f"Expected a version that has not seen the test period {test}, found "
                f"{self.version}, trained and validated on {seen}; fine-tune from another, or "
                "move split.test."
            )
        if trained.start < validation.end and validation.start < trained.end:
            raise ModelError(
                f"Expected a version that was not trained on the validation period {validation}, "
                f"found {self.version}, trained on {trained}; fine-tune from another, or move "
                "split.validation."
            )

    def _parse(self, name: str, parse: Callable[[bytes], Any]) -> Any:
        content = self._sealed(name, self.provenance.files_sha256.get(name))
        try:
            return parse(content)
        except (ValueError, yaml.YAMLError) as error:
            raise ModelError(f"Expected a readable {self.path / name}: {error}.") from error

    def _sealed(self, name: str, expected: str | None) -> bytes:
        """The content of a file, after its SHA-256 was verified; None where it was never sealed."""
        path = self.path / name
        try:
            content = path.read_bytes()
        except LsntpError:
            raise
        except OSError as error:
            raise ModelError(f"Expected to read {path}: {error}.") from error
        found = hashlib.sha256(content).hexdigest()
        if expected is not None and found != expected:
            raise ModelError(
                f"Expected SHA-256 {expected} of {path}, found {found}: the file was changed or "
                "damaged; remove the version's folder and run `lsntp train`."
            )
        return content


def check_tensors(found: Tensors, expected: Mapping[str, tuple[int, ...]], where: Place) -> None:
    """Refuse tensors that are missing, extra, of another shape, or not finite, naming them all.

    Raises:
        ModelError: listing every fault at once.
    """
    faults = [f"{name} missing" for name in sorted(expected.keys() - found.keys())]
    faults += [f"{name} not expected" for name in sorted(found.keys() - expected.keys())]
    for name in sorted(expected.keys() & found.keys()):
        if found[name].shape != expected[name]:
            faults.append(f"{name} expected {expected[name]}, found {found[name].shape}")
        elif not np.isfinite(found[name]).all():
            faults.append(f"{name} holds values that are not finite")
    if faults:
        raise ModelError(
            f"Expected {len(expected)} tensors that fit the model in {where / TENSORS}, found: "
            f"{'; '.join(faults)}. The version belongs to another configuration or code version; "
            "run `lsntp train`."
        )


def save_version(
    folder: Place,
    provenance: Provenance,
    *,
    tensors: Tensors,
    config: str,
    statistics: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> ModelVersion:
    """Store a version below ``folder``: written aside, then renamed, never overwritten.

    In a bucket its provenance is put last: a version counts once that is there. One process at a
    time may save the same version: what a killed one left is swept.

    Args:
        folder: the domain's folder of versions.
        provenance: sealed here with the SHA-256 of every other file.
        tensors: what the model needs to forecast, by name.
        config: the resolved configuration, YAML.
        statistics: of the training data, JSON-able.
        scores: of the validation block, JSON-able.

    Returns:
        The stored version; the one already there if another process was first.

    Raises:
        StorageError: if the storage refuses; nothing is left behind.
    """
    weights = save_safetensors({name: np.ascontiguousarray(a) for name, a in tensors.items()})
    contents = {
        TENSORS: weights,
        CONFIG: config.encode(),
        STATISTICS: _json(statistics),
        SCORES: _json(scores),
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    sealed = provenance.model_copy(
        update={"tensors_sha256": digests.pop(TENSORS), "files_sha256": digests}
    )
    contents[PROVENANCE] = _json(sealed.model_dump(mode="json"))
    target = folder / sealed.version
    if isinstance(target, S3Path):
        with writer_lease(target) as lease:
            for name, content in {} if is_stored(target) else contents.items():
                lease.replace(target / name, content)
    else:
        _store_on_disk(target, contents)
    return ModelVersion.open(target)


def _store_on_disk(target: Path, contents: Mapping[str, bytes]) -> None:
    folder = target.parent
    aside = aside_of(target)
    try:
        sweep_asides(folder, "*")
        aside.mkdir(parents=True)
        for name, content in contents.items():
            write_through(aside / name, content)
        if not target.exists():
            aside.rename(target)
    except OSError as error:
        raise StorageError(
            f"Expected to write the model version {target}: {error}. "
            "Free space or fix permissions, then run `lsntp train` again."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def is_stored(path: Place) -> bool:
    """Whether a version is in its place: on disk its folder, in a bucket what was put last."""
    return (path / PROVENANCE).is_file() if isinstance(path, S3Path) else path.is_dir()


def open_version(folder: Place, version: str) -> ModelVersion:
    """The version of that name below ``folder``.

    Raises:
        ModelError: if the name is no version's, or there is no such version.
    """
    if not VERSION_PATTERN.fullmatch(version) or not is_stored(folder / version):
        known = [entry.version for entry in list_versions(folder)]
        raise ModelError(
            f"Expected one of the model versions in {folder} ({', '.join(known) or 'none yet'}), "
            f"found {version!r}; run `lsntp train` to make one."
        )
    return ModelVersion.open(folder / version)


def lineage(folder: Place, version: ModelVersion) -> list[ModelVersion]:
    """The version, and all that it was fine-tuned from, newest first.

    Raises:
        ModelError: if one of them is gone or damaged: what it has seen cannot be told.
    """
    found = [version]
    while (parent := found[-1].provenance.recipe.parent) is not None:
        try:
            found.append(open_version(folder, parent))
        except ModelError as error:
            raise ModelError(
                f"Expected the version that {found[-1].version} was fine-tuned from, to know what "
                f"it has seen, found none that is whole: {error}"
            ) from error
    return found


def list_versions(folder: Place, model: str | None = None) -> list[ModelVersion]:
    """The complete versions below ``folder``, of one model or of all, oldest first."""
    versions = []
    for path in matching(folder, "*-*"):
        if not VERSION_PATTERN.fullmatch(path.name) or not is_stored(path):
            continue
        try:
            version = ModelVersion.open(path)
        except ModelError as error:
            _log.warning("Skipped a damaged model version: %s", error)
            continue
        if model in (None, version.model):
            versions.append(version)
    return sorted(versions, key=lambda version: version.provenance.created_at)


def latest_version(folder: Place, model: str) -> ModelVersion | None:
    """The newest complete version of a model, or None."""
    return next(reversed(list_versions(folder, model)), None)


def time_of_making(folder: Place, model: str, now: dt.datetime) -> dt.datetime:
    """``now``; where the clock was set back, a moment after the newest version of the model."""
    newest = latest_version(folder, model)
    if newest is None:
        return now
    return max(now, newest.provenance.created_at + dt.timedelta(microseconds=1))


def _json(content: Mapping[str, Any]) -> bytes:
    """Strict JSON: NaN and infinity are refused."""
    return json.dumps(content, indent=2, allow_nan=False).encode() + b"\n"
