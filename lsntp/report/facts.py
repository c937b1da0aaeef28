"""Provenance: every number of the page back to data, versions and code."""

import hashlib
import platform
from importlib.metadata import version as installed

import lsntp
from lsntp.archives.analysis import AnalysisArchive
from lsntp.config import Domain
from lsntp.errors import ModelError
from lsntp.evaluation.table import SkillTable, counted
from lsntp.report.data import Fact
from lsntp.times import Period, Times, format_duration_h, format_time
from lsntp.training.versions import open_version
from lsntp.workspace import Workspace

_LIBRARIES = ("numpy", "xarray", "zarr", "torch", "lightning", "scikit-image")
_DIGEST_LENGTH = 16


def facts_of(domain: Domain, analysis: AnalysisArchive, table: SkillTable) -> tuple[Fact, ...]:
    """What was used and how, a line each."""
    split = domain.split
    return (
        Fact("Grid", str(domain.target_grid)),
        Fact(
            "Windows",
            f"{domain.history} steps in, {domain.horizon} steps out, "
            f"{format_duration_h(domain.cadence)} each",
        ),
        Fact(
            "Blocks",
            f"training {split.train.period}, validation {split.validation.period}, "
            f"test {split.test.period}, at least {format_duration_h(domain.purge)} apart",
        ),
        Fact("Analysis archive", str(analysis.path)),
        Fact("Digest of all source fields", _analysis_digest(analysis)),
        Fact("Compared", _comparison(domain, table)),
        *(
            Fact(name, _version_text(domain, model, name, table.init_times))
            for model in table.models
            for name in table.versions[model]
        ),
        Fact(
            "Software",
            f"lsntp {lsntp.__version__}, Python {platform.python_version()}, "
            + ", ".join(f"{name} {installed(name)}" for name in _LIBRARIES),
        ),
    )


def _analysis_digest(analysis: AnalysisArchive) -> str:
    """SHA-256 over the source digests of all times, shortened."""
    digests = analysis.digests_at(analysis.times)
    return hashlib.sha256(digests.tobytes()).hexdigest()[:_DIGEST_LENGTH]


def _comparison(domain: Domain, table: SkillTable) -> str:
    weighting = "by area" if table.weighting == "area" else "equally"
    parts = [
        f"{counted(table.init_times.size, 'initial time')} common to all models, "
        f"{format_time(table.init_times[0])} to {format_time(table.init_times[-1])}",
        f"cells weighted {weighting}",
        f"preliminary truth in {counted(table.preliminary_frames, 'field')}",
        f"{domain.bootstrap_samples} bootstrap samples",
        f"data range of SSIM and PSNR {table.data_range_k:.2f} K",
    ]
    if table.unscored:
        parts.append(f"not scored: {', '.join(table.unscored)}")
    return "; ".join(parts)


def _version_text(domain: Domain, model: str, name: str, init_times: Times) -> str:
    if model in domain.guidance[:1]:
        return "forecasts of the source itself, fetched and moved to the domain’s grid"
    try:
        provenance = open_version(Workspace.of(domain).models, name).provenance
    except ModelError:
        return "this version made the forecasts and is no longer stored"
    recipe = provenance.recipe
    commit = f" ({provenance.commit[:12]})" if provenance.commit else ""
    seconds = sum(provenance.durations_s.values())
    parts = [
        f"trained on {recipe.training_period[0]}..{recipe.training_period[1]}",
        f"training data {recipe.training_data}",
        f"code {recipe.code_version}{commit}",
        f"{seconds:.0f} s on {provenance.hardware.get('accelerator', 'cpu')}",
    ]
    if provenance.parameters:
        parts.insert(2, f"{provenance.parameters} trained numbers")
    seen = Period.parse(recipe.training_period[0], recipe.validation_period[1])
    if seen.contains(init_times + domain.lead_times[0]).any():
        parts.append("has seen truth it is compared with, so its scores are no test")
    if recipe.seed is not None:
        parts.insert(2, f"seed {recipe.seed}")
    return "; ".join(parts)
