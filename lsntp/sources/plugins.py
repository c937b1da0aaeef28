"""Sources of third parties, by entry point: called with care, believed after a look."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np
import xarray as xr

from lsntp.config import Domain, PluginSource
from lsntp.config.source import PLUGIN_GROUP
from lsntp.errors import DomainError, LsntpError, SourceDataError, SourceUnavailableError
from lsntp.grid import Grid
from lsntp.names import (
    DIGEST_BYTE,
    DIGEST_BYTES,
    FIELD_DIMS,
    LATITUDE,
    LONGITUDE,
    SOURCE_DIGEST,
    STATUS,
    T2M,
    TIME,
    Status,
)
from lsntp.sources.base import Explaining, Hole, Source, Upstream
from lsntp.times import Duration, Instant, Period, Times, format_time

_FORM = {
    T2M: (FIELD_DIMS, np.dtype(np.float32)),
    STATUS: ((TIME,), np.dtype(np.int8)),
    SOURCE_DIGEST: ((TIME, DIGEST_BYTE), np.dtype(np.uint8)),
}
_HELP = "lsntp.sources.build_frames makes such a dataset"


def open_plugin(config: PluginSource, domain: Domain) -> Source:
    """The source that a plugin makes of the options in the domain file.

    The object behind the entry point is called with the options, a dictionary, and the domain,
    and returns an object with what :class:`~lsntp.sources.base.Source` promises, or
    :class:`~lsntp.sources.base.Upstream`.

    Raises:
        SourceDataError: if the entry point is registered twice, cannot be loaded or called, or
            makes something else. What the source raises or returns later is told likewise.
    """
    found = tuple(entry_points(group=PLUGIN_GROUP, name=config.name))
    if len(found) != 1:
        raise SourceDataError(
            f"Expected one entry point {config.name} in the group {PLUGIN_GROUP}, found "
            f"{len(found)} ({', '.join(map(_origin, found)) or 'none'}); install the one you mean "
            "and no other."
        )
    (entry_point,) = found
    plugin = f"plugin {config.name} ({_origin(entry_point)})"
    with _blamed(plugin, "to load and to be called with options and domain"):
        made = entry_point.load()(dict(config.options), domain)
    _check_promises(made, plugin, config.name)
    return PluggedUpstream(made, plugin) if isinstance(made, Upstream) else Plugged(made, plugin)


class Plugged:
    """A third party's source whose every answer is looked at; see :class:`~.base.Source`.

    Args:
        made: the source.
        plugin: its name and origin, for messages.
    """

    is_synthetic = False

    def __init__(self, made: Source, plugin: str) -> None:
        self.name = made.name
        self.publication_latency: Duration = made.publication_latency
        self._made = made
        self._plugin = plugin

    def available(self, period: Period) -> Times:
        """See :meth:`lsntp.sources.base.Source.available`."""
        with _blamed(self._plugin, "to say what is available"):
            times = _as_times(self._made.available(period))
        return times[period.contains(times)]

    def fetch(self, times: Times, area: Grid) -> list[xr.Dataset]:
        """See :meth:`lsntp.sources.base.Source.fetch`."""
        with _blamed(self._plugin, "to fetch"):
            datasets = list(self._made.fetch(times, area))
        for dataset in datasets:
            if faults := _faults(dataset, times):
                raise SourceDataError(
                    f"Expected canonical frames from {self._plugin}, found {'; '.join(faults)}. "
                    f"{_HELP}; report this to its author."
                )
        return datasets


class PluggedUpstream(Plugged):
    """One that also knows what is on its way and what is lacking upstream."""

    _made: Upstream

    def pending(self, period: Period) -> Times:
        """See :meth:`lsntp.sources.base.Upstream.pending`."""
        with _blamed(self._plugin, "to say what is pending"):
            return _as_times(self._made.pending(period))

    def holes(self) -> list[Hole]:
        """See :meth:`lsntp.sources.base.Upstream.holes`."""
        with _blamed(self._plugin, "to tell its holes"):
            return list(self._made.holes())

    def why_absent(self) -> dict[Instant, str]:
        """See :meth:`lsntp.sources.base.Explaining.why_absent`; nothing where it does not tell."""
        if not isinstance(self._made, Explaining):
            return {}
        with _blamed(self._plugin, "to tell why times did not come"):
            return {time: str(why) for time, why in self._made.why_absent().items()}


@contextmanager
def _blamed(plugin: str, what: str) -> Iterator[None]:
    """Foreign exceptions become ours; those of a broken connection may pass by waiting."""
    try:
        yield
    except LsntpError:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        if isinstance(error, ConnectionError | TimeoutError):
            raise SourceUnavailableError(
                f"Expected {plugin} {what}, found {found}; run again later."
            ) from error
        raise SourceDataError(
            f"Expected {plugin} {what}, found {found}; correct source.options, or report it to "
            "the author of the plugin."
        ) from error


def _check_promises(made: object, plugin: str, name: str) -> None:
    """Refuse what is no source, before anything is asked of it."""
    is_duration = isinstance(getattr(made, "publication_latency", None), np.timedelta64)
    faults = {
        f"name {getattr(made, 'name', None)!r} where {name!r} is registered": (
            getattr(made, "name", None) == name
        ),
        "no publication_latency of numpy.timedelta64": is_duration,
        "is_synthetic other than False, which only the source synthetic may be": (
            getattr(made, "is_synthetic", None) is False
        ),
        **{
            f"no method {method}": callable(getattr(made, method, None))
            for method in ("available", "fetch")
        },
    }
    if lacking := [fault for fault, is_kept in faults.items() if not is_kept]:
        raise SourceDataError(
            f"Expected {plugin} to make a source, found {type(made).__name__} with "
            f"{'; '.join(lacking)}; the README (Write a source) shows what it needs."
        )


def _as_times(found: Any) -> Times:
    """Sorted and unique.

    Raises:
        ValueError: if they are no times.
    """
    times = np.asarray(found)
    if times.size == 0:
        return np.array([], "datetime64[ns]")
    if not np.issubdtype(times.dtype, np.datetime64) or np.isnat(times).any():
        raise ValueError(f"an array of {times.dtype} where datetime64 is expected")
    unique: Times = np.unique(times.astype("datetime64[ns]"))
    return unique


def _faults(dataset: object, asked: Times) -> Sequence[str]:
    """What keeps a dataset from being canonical; nothing for one that is."""
    if not isinstance(dataset, xr.Dataset):
        return [f"a {type(dataset).__name__} in place of an xarray.Dataset"]
    absent = [name for name in (*_FORM, *FIELD_DIMS) if name not in dataset.variables]
    if absent:
        return [f"no {', '.join(absent)}"]
    faults = [
        f"{name}({', '.join(map(str, dataset[name].dims))}) {dataset[name].dtype} where "
        f"({', '.join(dims)}) {dtype} is expected"
        for name, (dims, dtype) in _FORM.items()
        if dataset[name].dims != dims or dataset[name].dtype != dtype
    ]
    times = dataset[TIME].to_numpy()
    if not np.issubdtype(times.dtype, np.datetime64):
        return [*faults, f"times of {times.dtype}"]
    if (others := times[~np.isin(times, asked)]).size:
        faults.append(f"{format_time(others[0])}, which was not asked for")
    if faults:
        return faults
    if dataset.sizes[DIGEST_BYTE] != DIGEST_BYTES:
        faults.append(f"digests of {dataset.sizes[DIGEST_BYTE]} bytes in place of {DIGEST_BYTES}")
    if not np.isin(dataset[STATUS], (Status.PRELIMINARY, Status.FINAL)).all():
        faults.append("a status other than preliminary (1) and final (2)")
    try:
        Grid(dataset[LATITUDE].to_numpy(), dataset[LONGITUDE].to_numpy())
    except DomainError as error:
        faults.append(f"cells out of order ({error})")
    return faults


def _origin(entry_point: EntryPoint) -> str:
    """The distribution, or what the entry point names."""
    return entry_point.dist.name if entry_point.dist is not None else entry_point.value
