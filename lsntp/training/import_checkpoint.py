"""The authors' released weights as a model version, read without executing anything in them."""

import hashlib
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from lsntp.config import Domain, NetworkConfig
from lsntp.config.architecture import as_typed
from lsntp.errors import ModelError
from lsntp.models.lsntp import LSNTP
from lsntp.models.official import WRAPPER, load_official
from lsntp.models.registry import parameter_count
from lsntp.training.history import open_analysis
from lsntp.training.network import make_forecaster, network_tensors, untrained_network
from lsntp.training.provenance import (
    Provenance,
    hardware,
    now_utc,
    recipe_for,
    source_commit,
)
from lsntp.training.scores import validation_scores
from lsntp.training.versions import ModelVersion, is_stored, save_version
from lsntp.training_data.archive import build_training_archive
from lsntp.training_data.splits import make_split
from lsntp.workspace import Workspace

WEIGHTS = "model"
"""Where the authors' ERA5 files keep the state dict; their NCEP files are the bare one."""


def import_checkpoint(
    domain: Domain, path: Path, model: str, *, score: bool = True
) -> ModelVersion:
    """Store the weights of an authors' ``.pth`` as a version of a network of the domain.

    The file says neither what the weights were trained on nor with which scaling. As in the
    authors' code they are taken to forecast the temperature itself, scaled to 0…1 by the
    smallest and largest value of the training data, and those data to be the domain's own:
    its training and validation periods are recorded, and its statistics are stored. Set
    ``split.train`` to the year the weights were trained on.

    Args:
        domain: with ``networks.<model>`` in ``configuration: official``, ``target: absolute``
            and ``scaling: min-max-01``, of one member and without ``quantiles``, and an analysis
            archive that covers its training period.
        path: the state dict, bare or under ``model``, with or without ``module.``.
        model: name of the network in the domain.
        score: whether to forecast the validation block and store the scores.

    Returns:
        The version; the one already there if the same file was imported before.

    Raises:
        ModelError: if the domain has no such network, or it is set up otherwise, the file is no
            checkpoint that can be read without executing code, or its tensors do not fit; names
            all that do not.
        ArchiveError: if there is no analysis archive, or it has another grid.
        TrainingDataError: if the training period cannot give statistics.
        StorageError: if the storage refuses.
    """
    config = _network_config(domain, model)
    network = untrained_network(config, domain)
    if not isinstance(network, LSNTP):
        raise ModelError(f"Expected networks.{model} to be an LS-NTP, found {config.architecture}.")
    load_official(network, read_checkpoint(path))
    analysis = open_analysis(domain)
    split = make_split(domain, analysis)
    workspace = Workspace.of(domain)
    archive = build_training_archive(domain, analysis, workspace.training, config.scaling)
    with path.open("rb") as file:
        source = hashlib.file_digest(file, "sha256").hexdigest()
    recipe = recipe_for(
        domain,
        model=model,
        kind="network",
        training_data=archive.digest,
        settings={
            **config.model_dump(mode="json", exclude={"training"}),
            "imported_from_sha256": source,
        },
    )
    if is_stored(workspace.models / recipe.version):
        return ModelVersion.open(workspace.models / recipe.version)
    started = time.perf_counter()
    forecaster = make_forecaster(model, [network], config, archive.statistics, domain)
    scores = (
        validation_scores(forecaster, analysis, split.validation, domain.lead_times)
        if score
        else None
    )
    return save_version(
        workspace.models,
        Provenance(
            version=recipe.version,
            recipe=recipe,
            grid=str(domain.target_grid),
            parameters=parameter_count(network),
            is_synthetic=domain.is_synthetic,
            commit=source_commit(),
            hardware=hardware(),
            durations_s={"validation": round(time.perf_counter() - started, 3)},
            created_at=now_utc(),
        ),
        tensors=network_tensors(forecaster),
        config=domain.to_yaml(),
        statistics=archive.statistics.to_dict(),
        scores=scores.to_dict() if scores else {"windows": 0},
    )


def read_checkpoint(path: Path) -> Mapping[str, object]:
    """The state dict in a ``.pth``; tensors only, nothing in the file is executed.

    Raises:
        ModelError: if the file cannot be read that way, or holds no state dict.
    """
    _check_stored(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"Expected a checkpoint file at {path}, found none.") from error
    except (Exception, MemoryError) as error:  # a crafted file raises almost anything
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"Expected a PyTorch checkpoint of tensors in {path}, found a file that is damaged, "
            f"of another kind, or wants to run code ({reason[0][:200]}); nothing in it was "
            "executed. Get the file again from its publisher."
        ) from error
    state = content.get(WEIGHTS, content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ModelError(
            f"Expected in {path} a state dict of tensors by name, bare or under {WEIGHTS!r}, "
            f"found {type(content).__name__}."
        )
    if not any(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(
            f"Expected in {path} a state dict of tensors by name, bare or under {WEIGHTS!r}, "
            f"found no tensor under {', '.join(sorted(map(str, state))[:10]) or 'nothing'} "
            f"(names may start with {WRAPPER!r})."
        )
    return state


def _network_config(domain: Domain, model: str) -> NetworkConfig:
    """The network to import for, set up as the authors' weights need it."""
    config = domain.networks.get(model)
    if config is None:
        raise ModelError(
            f"Expected a network of domain {domain.domain} "
            f"({', '.join(domain.networks) or 'it has none'}), found {model!r}; add it under "
            "networks in the domain file, with configuration: official."
        )
    differing = [
        f"{name} {as_typed(wanted)}, found {as_typed(found)}"
        for name, wanted, found in (
            ("target", "absolute", config.target),
            ("scaling", "min-max-01", config.scaling),
            ("members", 1, config.members),
            ("quantiles", False, config.quantiles),
        )
        if found != wanted
    ]
    if differing:
        raise ModelError(
            f"Expected networks.{model} of domain {domain.domain} with {' and '.join(differing)}: "
            "the authors' weights are those of one network, which forecasts the temperature "
            "itself, scaled to 0..1, and no quantiles; set it in the domain file."
        )
    return config


def _check_stored(path: Path) -> None:
    """Refuse a ZIP with compressed members: PyTorch writes none, and they can fill the memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = [m.filename for m in archive.infolist() if m.compress_type != 0]
    except (OSError, zipfile.BadZipFile):
        return  # of the older format, or none: torch.load judges
    if packed:
        raise ModelError(
            f"Expected a PyTorch checkpoint in {path}, whose members are stored as they are, "
            f"found {len(packed)} compressed ones; nothing was read. Get the file again from its "
            "publisher."
        )
