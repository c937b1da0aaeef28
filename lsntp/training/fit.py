"""From the analysis archive to model versions: baselines and networks that do not exist yet."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.lease import writer_lease
from lsntp.config import ArchitectureConfig, Domain, NetworkConfig, Scaling
from lsntp.config.architecture import as_typed
from lsntp.errors import ModelError, TrainingDataError
from lsntp.models.base import Forecaster
from lsntp.models.baselines import make_baseline
from lsntp.models.calibration import check_days
from lsntp.models.ridge import Ridge, fit_ridge, steps_fitted_to
from lsntp.places import Place
from lsntp.times import Times
from lsntp.training.contents import baseline_tensors
from lsntp.training.history import is_complete, open_analysis, status_of
from lsntp.training.provenance import (
    Provenance,
    Recipe,
    hardware,
    now_utc,
    recipe_for,
    source_commit,
)
from lsntp.training.retraining import with_current_split
from lsntp.training.scores import Scores, validation_scores
from lsntp.training.unfinished import begin, finish
from lsntp.training.versions import (
    ModelVersion,
    Tensors,
    is_stored,
    lineage,
    open_version,
    save_version,
    time_of_making,
)
from lsntp.training_data.archive import TrainingArchive, build_training_archive
from lsntp.training_data.blocks import usable_at
from lsntp.training_data.forcings import HEIGHT
from lsntp.training_data.ground import Ground, known_ground
from lsntp.training_data.splits import Split, looking_back, make_split
from lsntp.workspace import Workspace

BASELINE_SCALING: Scaling = "standard"
"""Baselines need the statistics of a training archive only; this one serves most networks too."""
WITHOUT_MEANING = frozenset(
    {"configuration", "graph", "decoder_steps", "even_grid", "forget_bias", "dropout"}
)
"""Of an architecture: presets of other switches, ways to the same numbers, what a network may
refuse, and what counts in training only."""
CLIMATOLOGICAL = ("climatology", "persistence-climatological-increment")


@dataclass(frozen=True)
class TrainReport:
    """What training did for one model.

    Attributes:
        created: False if the version was there already and nothing was done.
        seconds: of the fit and its validation; 0 if nothing was done.
        parameters: trained numbers.
        validation_mae_k: mean over leads, windows and cells; None if nothing could be scored.
    """

    model: str
    version: str
    created: bool
    seconds: float
    parameters: int
    validation_mae_k: float | None


def prepare(domain: Domain) -> list[TrainingArchive]:
    """The domain's training archives, one a scaling in use; built where inputs changed.

    With a moving training window there is also one of the split as written: scores go on being
    measured from its climatology, whatever the window.

    Raises:
        ArchiveError: if there is no analysis archive, or it has another grid.
        TrainingDataError: if the training period cannot be used.
    """
    analysis = open_analysis(domain)
    scalings = {BASELINE_SCALING, *(network.scaling for network in domain.networks.values())}
    folder = Workspace.of(domain).training
    current = with_current_split(domain, analysis)
    wanted = [(current, name) for name in sorted(scalings)]
    if domain.retrain.is_moving:
        wanted.append((domain, BASELINE_SCALING))
    return [build_training_archive(of, analysis, folder, name) for of, name in wanted]


def train(
    domain: Domain,
    *,
    models: Sequence[str] | None = None,
    fine_tune_from: str | None = None,
    force: bool = False,
) -> list[TrainReport]:
    """Fit every asked model whose version does not exist yet.

    A version's name is a digest of all that decides its weights, so training again on
    unchanged inputs does nothing. With a moving window the blocks follow the newest analysis
    (:func:`~lsntp.training.retraining.with_current_split`).

    Args:
        domain: what to train for.
        models: names out of ``domain.trained_names``; None for all of them (for the model of
            ``fine_tune_from``, if given).
        fine_tune_from: a version whose weights networks start from; it becomes their parent.
        force: train again even so; the new version stands beside the old one.

    Raises:
        ModelError: if a name is unknown, the parent does not fit, or a loss is not finite.
        TrainingDataError: if there are too few analyses to train, validate or calibrate on, or
            the static fields that a network is told cannot be used.
        ArchiveError: if there is no analysis archive, or it has another grid.
        ArchiveBusyError: if another process is training the same version.
        StorageError: if the storage refuses.
    """
    workshop, names = _open_workshop(domain, models, fine_tune_from)
    return [workshop.train(name, force=force) for name in names]


def in_turn(
    domain: Domain, *, models: Sequence[str] | None = None, fine_tune_from: str | None = None
) -> list[tuple[str, ...]]:
    """What to train together, in order: the baselines, then one network after the other.

    Baselines take minutes and networks may take days: judged in turn, there are forecasts from
    the first on, and a network that fails costs only itself. What :func:`train` would refuse
    before it trains anything is refused here.

    Args:
        domain: see :func:`train`, as all arguments and errors.
        models: names.
        fine_tune_from: a version.
    """
    _, names = _open_workshop(domain, models, fine_tune_from)
    baselines = tuple(name for name in names if name not in domain.networks)
    turns = [baselines, *((name,) for name in names if name in domain.networks)]
    return [turn for turn in turns if turn]


def _open_workshop(
    domain: Domain, models: Sequence[str] | None, fine_tune_from: str | None
) -> tuple["_Workshop", Sequence[str]]:
    """Everything the fits of one call share, and the names of what to train."""
    workspace = Workspace.of(domain)
    parent = open_version(workspace.models, fine_tune_from) if fine_tune_from else None
    names = _chosen(domain, models, parent)
    analysis = open_analysis(domain)
    domain = with_current_split(domain, analysis)
    if parent is not None:
        blocks = {
            "validation": domain.split.validation.period,
            "test": domain.split.test.period,
        }
        for ancestor in lineage(workspace.models, parent):
            ancestor.check_has_not_seen(**blocks)
    split = make_split(domain, analysis)
    _check_histories(domain, analysis, split, names)
    if any(network.quantiles for name, network in domain.networks.items() if name in names):
        check_days(split.validation)
    ground = _told_ground(domain, names)
    return _Workshop(domain, workspace, analysis, split, parent, ground), names


@dataclass(frozen=True)
class _Fit:
    """What came of a fit that took ``seconds``, ready to be stored."""

    forecaster: Forecaster
    tensors: Tensors
    parameters: int
    seconds: float
    accelerator: str = "cpu"
    devices: int = 1
    notes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Workshop:
    """Everything the fits of one call share."""

    domain: Domain
    workspace: Workspace
    analysis: AnalysisArchive
    split: Split
    parent: ModelVersion | None
    ground: Ground | None

    def train(self, model: str, *, force: bool) -> TrainReport:
        """Make the version of one model unless it is there."""
        network = self.domain.networks.get(model)
        archive = build_training_archive(
            self.domain,
            self.analysis,
            self.workspace.training,
            network.scaling if network else BASELINE_SCALING,
        )
        recipe = self._recipe(model, archive)
        while force and is_stored(self._path(recipe)):
            recipe = recipe.model_copy(update={"repeat": recipe.repeat + 1})
        work = self.workspace.work / "training" / recipe.version
        if is_stored(self._path(recipe)):
            finish(work)  # a run may have been killed between storing the version and this
            return _report(ModelVersion.open(self._path(recipe)), created=False)
        with writer_lease(work):
            if is_stored(self._path(recipe)):
                return _report(ModelVersion.open(self._path(recipe)), created=False)
            version = self._make(recipe, archive, work)
            finish(work)
        return _report(version, created=True)

    def _make(self, recipe: Recipe, archive: TrainingArchive, work: Path) -> ModelVersion:
        """Fit, validate and store."""
        if recipe.kind == "network":
            begin(work, recipe)
            fit = self._fit_network(recipe, archive, work)
        else:
            fit = self._fit_baseline(recipe.model, archive)
        fitted = time.perf_counter()
        scores = validation_scores(
            fit.forecaster, self.analysis, self.split.validation, self.domain.lead_times
        )
        durations_s = {"fit": fit.seconds, "validation": time.perf_counter() - fitted}
        return save_version(
            self.workspace.models,
            Provenance(
                version=recipe.version,
                recipe=recipe,
                grid=str(self.domain.target_grid),
                parameters=fit.parameters,
                is_synthetic=self.domain.is_synthetic,
                commit=source_commit(),
                hardware=hardware(fit.accelerator, fit.devices),
                durations_s={name: round(value, 3) for name, value in durations_s.items()},
                created_at=time_of_making(self.workspace.models, recipe.model, now_utc()),
            ),
            tensors=fit.tensors,
            config=self.domain.to_yaml(),
            statistics=archive.statistics.to_dict(),
            scores=fit.notes | _scores_as_dict(scores),
        )

    def _fit_baseline(self, model: str, archive: TrainingArchive) -> _Fit:
        started = time.perf_counter()
        climatology = archive.statistics.climatology
        lead_times, cadence = self.domain.lead_times, self.domain.cadence
        forecaster: Forecaster
        if model == Ridge.name:
            forecaster = fit_ridge(
                self.analysis.read,
                self.split.train,
                climatology=climatology.by_hour_of_day(self._fitted_times(archive)),
                lead_times=lead_times,
                cadence=cadence,
                penalty=self.domain.ridge_penalty,
            )
            parameters = forecaster.coefficients.size
        else:
            forecaster = make_baseline(
                model, climatology=climatology, lead_times=lead_times, cadence=cadence
            )
            parameters = climatology.coefficients.size if model in CLIMATOLOGICAL else 0
        tensors = baseline_tensors(forecaster, archive.statistics)
        return _Fit(forecaster, tensors, parameters, time.perf_counter() - started)

    def _fitted_times(self, archive: TrainingArchive) -> Times:
        """The usable times of the training period."""
        times = archive.statistics.period.steps(self.domain.cadence, self.domain.start)
        return times[usable_at(self.analysis, times)]

    def _fit_network(self, recipe: Recipe, archive: TrainingArchive, work: Path) -> _Fit:
        from lsntp.training.calibrating import calibrated
        from lsntp.training.fit_members import fit_members
        from lsntp.training.network import frames_needed, network_tensors

        frames = frames_needed(self.domain.networks[recipe.model], self.domain)
        fitted = fit_members(
            self.domain,
            recipe.model,
            archive,
            looking_back(self.domain, self.analysis, self.split, frames),
            parent=self.parent,
            work=work,
            identity=recipe.version,
            ground=self.ground,
        )
        forecaster = fitted.forecaster
        if self.domain.networks[recipe.model].quantiles:
            forecaster = calibrated(forecaster, self.analysis, self.split.validation)
        return _Fit(
            forecaster,
            network_tensors(forecaster),
            fitted.parameters,
            sum(fit.seconds for fit in fitted.fits),
            fitted.fits[0].accelerator,
            fitted.fits[0].devices,
            fitted.notes,
        )

    def _recipe(self, model: str, archive: TrainingArchive) -> Recipe:
        domain = self.domain
        network = domain.networks.get(model)
        settings = _deciding_settings(network) if network else {}
        if model == Ridge.name:
            settings = {"penalty": domain.ridge_penalty}
        static = _static_channels(domain, model)
        if self.ground is not None and static:
            settings["land"] = hashlib.sha256(self.ground.land.tobytes()).hexdigest()
            if self.ground.height_km is not None and HEIGHT in static:
                height = hashlib.sha256(self.ground.height_km.tobytes()).hexdigest()
                settings["orography"] = height
        return recipe_for(
            domain,
            model=model,
            kind="network" if network else "baseline",
            training_data=archive.digest,
            settings=settings,
            seed=network.training.seed if network else None,
            parent=self.parent.version if self.parent else None,
        )

    def _path(self, recipe: Recipe) -> Place:
        return self.workspace.models / recipe.version


def _deciding_settings(network: NetworkConfig) -> dict[str, Any]:
    """What decides the weights: of batches, processes and accumulation their product."""
    from lsntp.training.devices import UNDECISIVE, step_windows

    settings = network.model_dump(mode="json", exclude={"training": set(UNDECISIVE)})
    settings["training"]["batch_size"] = step_windows(network.training)
    return settings


def _told_ground(domain: Domain, names: Sequence[str]) -> Ground | None:
    """The domain's own static fields, if it names any or must, and a network is told them."""
    static = {channel for name in names for channel in _static_channels(domain, name)}
    needs_height = HEIGHT in static
    if not static or (domain.static is None and not needs_height):
        return None
    return known_ground(domain, with_height=needs_height)


def _check_histories(
    domain: Domain, analysis: AnalysisArchive, split: Split, names: Sequence[str]
) -> None:
    """Refuse what looks back further than any window has analyses, before anything is fitted."""
    networks = [domain.networks[name] for name in names if name in domain.networks]
    if networks:
        from lsntp.training.network import frames_needed

        for network in networks:
            looking_back(domain, analysis, split, frames_needed(network, domain))
    if Ridge.name in names:
        steps = steps_fitted_to(domain.lead_times, domain.cadence)
        if not is_complete(status_of(analysis, split.train, steps)).any():
            raise TrainingDataError(
                f"Expected in the training period {domain.split.train.period} an initial time "
                f"with usable analyses at all steps {steps}, which {Ridge.name} is fitted to, "
                f"found none among {split.train.size}; ingest more of the period, lengthen "
                f"split.train, or leave {Ridge.name} out of baselines."
            )


def _static_channels(domain: Domain, model: str) -> tuple[str, ...]:
    """Which static fields a model is told; a baseline none."""
    from lsntp.models.registry import told_by

    network = domain.networks.get(model)
    return told_by(network.architecture).static if network else ()


def _chosen(
    domain: Domain, models: Sequence[str] | None, parent: ModelVersion | None
) -> Sequence[str]:
    """The names to train, known to the domain and able to start from the parent."""
    if models is None:
        models = domain.trained_names if parent is None else (parent.model,)
    fetched = [name for name in models if name in domain.guidance]
    if fetched:
        raise ModelError(
            f"Expected models to train, found {', '.join(fetched)}: forecasts of the source "
            f"itself, which `lsntp forecast {domain.reference}` fetches and corrects."
        )
    unknown = [name for name in models if name not in domain.trained_names]
    if unknown:
        raise ModelError(
            f"Expected models of domain {domain.domain} ({', '.join(domain.trained_names)}), found "
            f"{', '.join(unknown)}; add them under networks or baselines in the domain file."
        )
    closed = [name for name in models if name not in domain.networks]
    if parent is not None and closed:
        raise ModelError(
            f"Expected networks to fine-tune from {parent.version}, found baselines "
            f"{', '.join(closed)}; baselines have no weights to start from."
        )
    if parent is not None:
        parent.check_fits(domain)
        for name in models:
            _check_same_units(domain.networks[name], name, parent)
    _check_frozen(domain, models, parent)
    return models


def _check_frozen(domain: Domain, models: Sequence[str], parent: ModelVersion | None) -> None:
    """Refuse to keep weights that no training made."""
    frozen = [
        name for name, net in domain.networks.items() if name in models and net.training.freeze
    ]
    if frozen and parent is None:
        raise ModelError(
            f"Expected a version to fine-tune, since networks.{frozen[0]}.training.freeze keeps "
            "parts of it, found none; name one with --fine-tune, or freeze nothing."
        )


def _check_same_units(network: NetworkConfig, name: str, parent: ModelVersion) -> None:
    """Refuse to go on from weights that mean something else: units, or architecture."""
    settings = parent.provenance.recipe.settings
    differences = [
        f"{key} {as_typed(settings.get(key))}, found {as_typed(now)}"
        for key, now in (("scaling", network.scaling), ("target", network.target))
        if settings.get(key) != now
    ]
    before, after = _switches(_architecture_of(parent)), _switches(network.architecture)
    differences += [
        f"architecture.{key} {as_typed(before.get(key))}, found {as_typed(after.get(key))}"
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    ]
    if differences:
        raise ModelError(
            f"Expected networks.{name} with the parent's {' and '.join(differences)}: the weights "
            f"of {parent.version} mean nothing else. Set it in the domain file, or train from "
            "scratch."
        )


def _architecture_of(version: ModelVersion) -> ArchitectureConfig:
    """The architecture that a network's version was made of."""
    settings = version.provenance.recipe.settings
    try:
        return NetworkConfig(architecture=settings["architecture"]).architecture
    except (LookupError, ValidationError) as error:
        raise ModelError(
            f"Expected {version.version} to be a network of this code version, to go on from, "
            f"found another: {error}. Train from scratch."
        ) from error


def _switches(architecture: ArchitectureConfig) -> dict[str, Any]:
    """What decides how weights are used, by name; of two networks of a kind the same names."""
    names = [name for name in type(architecture).model_fields if name not in WITHOUT_MEANING]
    return {name: getattr(architecture, name) for name in names}


def _report(version: ModelVersion, *, created: bool) -> TrainReport:
    mae = version.scores.get("mae_k")
    return TrainReport(
        model=version.model,
        version=version.version,
        created=created,
        seconds=sum(version.provenance.durations_s.values()) if created else 0.0,
        parameters=version.provenance.parameters,
        validation_mae_k=sum(mae) / len(mae) if mae else None,
    )


def _scores_as_dict(scores: Scores | None) -> dict[str, Any]:
    return scores.to_dict() if scores else {"windows": 0}
