"""The frames that may be compared: initial times that every contender has fully scored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xarray as xr

from lsntp.archives.evaluation import (
    COUNT,
    FRAME_SUMS,
    MODEL,
    MODEL_VERSION,
    TRUTH_STATUS,
    EvaluationArchive,
)
from lsntp.config import Domain
from lsntp.errors import ArchiveNotFoundError, DomainError, EvaluationError
from lsntp.evaluation.seen import seen_until
from lsntp.names import INIT_TIME, LEAD_TIME, VERSION_PATTERN, Status, version_options
from lsntp.times import Period, Times, format_time
from lsntp.training_data.splits import effective_periods
from lsntp.workspace import Workspace

Flags = npt.NDArray[np.bool_]

VERSION_MARK = "@"
"""Between a model and the version that is meant: ``lsntp@0123456789ab``."""


@dataclass(frozen=True)
class Contender:
    """A model, or one version of it.

    Attributes:
        model: its name.
        version: the whole version, or its end or beginning as far as it is unique; None for
            whichever version made each forecast.
    """

    model: str
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """``lsntp`` or ``lsntp@0123456789ab``.

        Raises:
            EvaluationError: if the model or, behind the mark, the version is empty.
        """
        model, mark, version = text.partition(VERSION_MARK)
        if not model or (mark and not version):
            raise EvaluationError(f"Expected MODEL or MODEL@VERSION, found {text!r}.")
        return cls(model, version or None)

    def __str__(self) -> str:
        """As it is typed."""
        return self.model if self.version is None else f"{self.model}{VERSION_MARK}{self.version}"


@dataclass(frozen=True, eq=False)
class Selection:
    """Scored frames of several contenders over the same initial times.

    Attributes:
        sums: dims (model, init_time, lead_time), in memory; ``model`` holds the contenders as
            text. Variables of :data:`~lsntp.archives.evaluation.FRAME_SUMS`.
        period: where init_times were looked for.
        contenders: in the order of ``sums``.
        versions: contender to the versions that made its forecasts.
        preliminary_frames: (init_time, lead_time) whose truth is preliminary for a contender.
        seen: how many init_times have truth that a version which forecast from there had seen in
            training or validation: no test.
        data_range_k: of the second SSIM and PSNR, K.
    """

    sums: xr.Dataset
    period: Period
    contenders: tuple[Contender, ...]
    versions: dict[str, tuple[str, ...]]
    preliminary_frames: int
    seen: int
    data_range_k: float

    @property
    def init_times(self) -> Times:
        """The common set (n,)."""
        times: Times = self.sums[INIT_TIME].values
        return times

    @property
    def models(self) -> tuple[str, ...]:
        """The contenders as text."""
        return tuple(map(str, self.contenders))


def open_scores(domain: Domain) -> EvaluationArchive:
    """The domain's evaluation archive.

    Raises:
        EvaluationError: if nothing was ever scored.
    """
    try:
        return EvaluationArchive.open(Workspace.of(domain).evaluation)
    except ArchiveNotFoundError as error:
        raise EvaluationError(
            f"Expected scored forecasts in {Workspace.of(domain).evaluation}, found none; run "
            f"`lsntp forecast {domain.reference}`, then `lsntp evaluate {domain.reference}`."
        ) from error


def select(
    domain: Domain,
    *,
    models: Sequence[str] | None = None,
    period: Period | None = None,
    variables: Sequence[str] = tuple(FRAME_SUMS),
    is_open_ended: bool = False,
) -> Selection:
    """The sums of ``models`` over the initial times that all of them have fully scored.

    Args:
        domain: whose evaluation archive.
        models: names, or ``name@version``; by default every model of the domain with a scored
            forecast in the period.
        period: of init_times. By default those of the windows inside the test block, and
            everything scored if that holds nothing, or if all ``models`` are whole names of
            versions: those were scored to be compared.
        variables: which sums to read; ``count`` always is.
        is_open_ended: whether the default period goes on past the end of the test block.

    Raises:
        EvaluationError: if nothing is scored, a named model is not, or none is in common.
    """
    archive = open_scores(domain)
    with archive.dataset() as data:
        known = [str(name) for name in data[MODEL].values]
        asked = [Contender.parse(text) for text in models or domain.model_names]
        _check_known(domain, asked, known)
        found = [contender for contender in asked if contender.model in known]
        init_times: Times = data[INIT_TIME].values
        rows = {name: known.index(name) for name in dict.fromkeys(c.model for c in found)}
        is_full = {
            name: (data[COUNT].isel({MODEL: row}) > 0).all(LEAD_TIME).values
            for name, row in rows.items()
        }
        made_by = {
            name: data[MODEL_VERSION].isel({MODEL: row}).values for name, row in rows.items()
        }
        usable = {
            contender: is_full[contender.model]
            & _made_by(contender, made_by[contender.model], is_full[contender.model])
            for contender in found
        }
        chosen = period or _default_period(domain, init_times, usable, open_end=is_open_ended)
        inside = chosen.contains(init_times)
        compared = tuple(contender for contender in found if (usable[contender] & inside).any())
        _check_named(domain, models, compared, chosen)
        common = np.logical_and.reduce([usable[contender] for contender in compared]) & inside
        if not common.any():
            counts = {contender: usable[contender] & inside for contender in compared}
            raise EvaluationError(_explain_nothing_common(domain, counts, init_times, chosen))
        slots = np.flatnonzero(common)
        places = {MODEL: [rows[contender.model] for contender in compared], INIT_TIME: slots}
        names = list(dict.fromkeys((COUNT, *variables)))
        sums = data[names].isel(places).load()
        is_preliminary = data[TRUTH_STATUS].isel(places) == Status.PRELIMINARY
        preliminary_frames = int(is_preliminary.any(MODEL).sum())
    makers = {str(contender): made_by[contender.model][slots] for contender in compared}
    return Selection(
        sums=sums.assign_coords({MODEL: [str(contender) for contender in compared]}),
        period=chosen,
        contenders=compared,
        versions={
            contender: tuple(sorted(set(names.tolist()))) for contender, names in makers.items()
        },
        preliminary_frames=preliminary_frames,
        seen=_seen(domain, init_times[slots], makers),
        data_range_k=float(archive.attrs["data_range_k"]),
    )


def described(scores: xr.Dataset, chosen: Selection, weighting: str) -> xr.Dataset:
    """``scores`` with units, and attributes that say what they speak of."""
    for name, values in scores.data_vars.items():
        if np.issubdtype(values.dtype, np.number):
            is_kelvin = str(name).startswith(("mae", "bias", "rmse", "crps", "lead_mae"))
            values.attrs["units"] = "K" if is_kelvin else "1"
    return scores.assign_attrs(
        weighting=weighting,
        period=str(chosen.period),
        common_init_times=chosen.init_times.size,
        seen=chosen.seen,
        preliminary_frames=chosen.preliminary_frames,
    )


def _made_by(contender: Contender, made_by: npt.NDArray[Any], is_full: Flags) -> Flags:
    """Which forecasts are by the contender's version.

    Raises:
        EvaluationError: if no scored forecast is, or the version could mean several.
    """
    if contender.version is None:
        return np.ones(made_by.shape, bool)
    versions = sorted(set(made_by[is_full].tolist()))
    asked = contender.version
    meant = [v for v in versions if v == asked] or [
        v for v in versions if v.startswith((asked, f"{contender.model}-{asked}"))
    ]
    if len(meant) != 1:
        found = "several of that beginning" if meant else "none of that name"
        raise EvaluationError(
            f"Expected a version of {contender.model} that has scored forecasts "
            f"({', '.join(versions) or 'there is none'}), found {found}: {asked!r}."
        )
    return np.asarray(made_by == meant[0])


def _default_period(
    domain: Domain, init_times: Times, usable: dict[Contender, Flags], *, open_end: bool
) -> Period:
    """The init_times of windows inside the test block if one was scored, else all."""
    last = init_times[-1] if init_times.size else domain.start
    everything = Period(domain.start, last + domain.cadence)
    if all(VERSION_PATTERN.fullmatch(contender.model) for contender in usable):
        return everything
    block = effective_periods(domain)["test"]
    try:
        test = Period(
            block.start + (domain.history - 1) * domain.cadence,
            everything.end if open_end else block.end - domain.horizon * domain.cadence,
        )
    except DomainError:
        return everything
    inside = test.contains(init_times)
    return test if any(flags[inside].any() for flags in usable.values()) else everything


def _check_known(domain: Domain, asked: Sequence[Contender], known: Sequence[str]) -> None:
    """Every contender must be a model of the domain, or have scores from when it was one."""
    known = [name for name in known if not VERSION_PATTERN.fullmatch(name)]
    there = dict.fromkeys((*domain.model_names, *known))
    unknown = [
        contender.model
        for contender in asked
        if contender.model not in there and not VERSION_PATTERN.fullmatch(contender.model)
    ]
    if unknown:
        raise EvaluationError(
            f"Expected models of the domain {domain.domain} ({', '.join(there)}) or whole names of "
            "versions, found "
            f"{', '.join(unknown)}; scored are {', '.join(known) or 'none yet'}."
        )


def _check_named(
    domain: Domain, models: Sequence[str] | None, compared: Sequence[Contender], period: Period
) -> None:
    """Every named model, or at least one, must have a fully scored forecast."""
    absent = [text for text in (models or []) if Contender.parse(text) not in compared]
    if absent or not compared:
        options = version_options(absent)
        raise EvaluationError(
            f"Expected fully scored forecasts of {', '.join(absent) or 'any model'} in {period}, "
            f"found none; run `lsntp forecast {domain.reference}{options}`, then "
            f"`lsntp evaluate {domain.reference}{options}`."
        )


def _explain_nothing_common(
    domain: Domain, usable: dict[Contender, Flags], init_times: Times, period: Period
) -> str:
    counts = ", ".join(f"{contender} {int(flags.sum())}" for contender, flags in usable.items())
    versions = [contender for contender in usable if contender.version is not None]
    if len({contender.model for contender in versions}) < len(versions):
        spans = ", ".join(f"{c} from {_span(init_times[usable[c]])}" for c in versions)
        return (
            f"Expected initial times in {period} that both versions have forecast, found none: the "
            f"archive of a model keeps one forecast for each initial time ({spans}). Versions "
            f"named whole have archives of their own: `lsntp forecast {domain.reference} --model "
            f"VERSION --model VERSION`, `lsntp evaluate {domain.reference}` likewise, then `lsntp "
            f"compare {domain.reference} VERSION VERSION`."
        )
    return (
        f"Expected initial times in {period} that every model has fully scored, found none in "
        f"common ({counts}); forecast and evaluate them, or name fewer models."
    )


def _span(times: Times) -> str:
    return f"{format_time(times[0])} to {format_time(times[-1])}"


def _seen(domain: Domain, init_times: Times, makers: dict[str, npt.NDArray[Any]]) -> int:
    """How many have truth that a version which forecast from there had seen.

    Args:
        domain: whose versions.
        init_times: (n,).
        makers: contender to the version (n,) that made each forecast.
    """
    first_truth = init_times + domain.lead_times[0]
    is_seen = np.zeros(init_times.shape, bool)
    for version in sorted({name for names in makers.values() for name in names.tolist()}):
        made = np.logical_or.reduce([names == version for names in makers.values()])
        is_seen |= made & (first_truth < seen_until(domain, version))
    return int(is_seen.sum())
