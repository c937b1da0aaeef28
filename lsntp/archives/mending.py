"""Make a damaged archive whole again, without what was damaged.

What follows from the rest is written again: metadata, coordinates, marks. Slots that lost
something that does not are withdrawn: they become missing, as if never written, and the normal
steps (ingest, forecast, evaluate) fill them. Slots first stop counting, then their values go.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from zarr.abc.store import Store
from zarr.core.sync import collect_aiterator

from lsntp.archives import layout
from lsntp.archives.analysis import AnalysisArchive
from lsntp.archives.evaluation import COUNT, INPUTS, MODEL, MONTH, TRUTH_STATUS, EvaluationArchive
from lsntp.archives.findings import Fault, Finding, Kind
from lsntp.archives.forecast import (
    MODEL_VERSION,
    WRITTEN_LEADS,
    WRITTEN_QUANTILES,
    ForecastArchive,
)
from lsntp.archives.inspection import Document, Flags, Metadata, read_metadata, sizes
from lsntp.archives.lease import writer_lease
from lsntp.archives.rules import (
    DERIVED,
    FIELD_WITHOUT_STATUS,
    REQUIRED,
    STATIC,
    USABLE,
    derived_values,
    month_positions,
    static_values,
)
from lsntp.archives.staging import (
    ROOT_KEY,
    Staging,
    as_slots,
    open_published,
    storage_errors,
)
from lsntp.archives.verification import verify_archive
from lsntp.aside import temporary_folder
from lsntp.config import Domain
from lsntp.errors import LsntpError
from lsntp.names import (
    INGESTED_AT,
    INIT_TIME,
    LEAD_TIME,
    SOURCE_DIGEST,
    STATUS,
    T2M,
    T2M_QUANTILE,
    TIME,
    Status,
)
from lsntp.places import Place
from lsntp.times import Instant, Times

_CHECKSUM: Final = {"name": "crc32c"}
_TO_MAKE: Final = [int(Status.MISSING), int(Status.PRELIMINARY)]
_NONE: Final[Times] = np.array([], "datetime64[ns]")
_SEALS: Final[dict[Kind, tuple[str, ...]]] = {
    "analysis": (SOURCE_DIGEST, STATUS),
    "forecast": (WRITTEN_LEADS,),
    "evaluation": (COUNT, TRUTH_STATUS, INPUTS),
}


@dataclass(frozen=True)
class Withdrawn:
    """What a mending left to be made again.

    Attributes:
        times: hours, or initial times.
        models: those of an evaluation that lost scores.
        digests: (n, 32) of the source fields of the hours; zeros where they are lost too.
    """

    times: Times
    models: tuple[str, ...] = ()
    digests: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 32), np.uint8))


def is_mendable(finding: Finding, kind: Kind) -> bool:
    """Whether mending cures it; the other findings say in their remedy what does."""
    is_names = kind == "evaluation" and finding.array == MODEL and finding.fault != Fault.METADATA
    return finding.fault != Fault.FOREIGN and not is_names


def mend_metadata(domain: Domain, path: Place, kind: Kind) -> None:
    """Write damaged metadata again: from its sound copy, else as a new archive would have it.

    Two copies may differ in an octet that decides how chunks are read; that of a new archive
    decides between them. The extent is what most copies say, of equals the longer.

    Raises:
        ArchiveBusyError: if a writer is at work.
        StorageError: if the storage refuses.
    """
    twin = _twin(domain, kind)
    with writer_lease(path) as lease, storage_errors(str(path)):
        metadata = read_metadata(path, REQUIRED[kind])
        arrays = _sound_copies(metadata, twin)
        extent = _extent(metadata, twin)
        extent |= {
            dim: _reach(lease.store(), arrays[dim]) for dim, size in extent.items() if not size
        }
        for name, document in arrays.items():
            shape = [extent[dim] for dim in document["dimension_names"]]
            arrays[name] = {**document, "shape": shape}
        attributes = (metadata.root or {}).get("attributes") or _salvaged_attributes(path)
        declared = layout.Axis(domain.start, domain.cadence).attrs
        attributes = {**attributes, **declared} if attributes else (twin.root or {})["attributes"]
        root = {"attributes": attributes, "consolidated_metadata": {"metadata": arrays}}
        Staging(lease.store(), root=root).commit()


def _sound_copies(metadata: Metadata, twin: Metadata) -> dict[str, Document]:
    """The document of every array, whatever its shape."""
    known = {**metadata.own, **metadata.arrays}
    has_checksums = any(_CHECKSUM in document["codecs"] for document in known.values())
    chosen = {}
    for name in twin.arrays.keys() | known.keys():
        copies = [found[name] for found in (metadata.arrays, metadata.own) if name in found]
        new = twin.arrays.get(name)
        if new is not None:
            copies = [c for c in copies if c["dimension_names"] == new["dimension_names"]]
            alike = [found for found in copies if {**found, "shape": new["shape"]} == new]
            if known and not has_checksums:  # archives of before chunks had any
                new = {**new, "codecs": [codec for codec in new["codecs"] if codec != _CHECKSUM]}
            copies = [*alike, *copies, new]
        chosen[name] = copies[0]
    return chosen


def _extent(metadata: Metadata, twin: Metadata) -> dict[str, int]:
    """The size of every dimension; those that never grow are the domain's."""
    votes: dict[str, Counter[int]] = defaultdict(Counter)
    for document in (*metadata.arrays.values(), *metadata.own.values()):
        for dim, size in zip(document["dimension_names"], document["shape"], strict=True):
            votes[dim][size] += 1
    found = {
        dim: max((count, size) for size, count in seen.items())[1] for dim, seen in votes.items()
    }
    new = {dim: max(known) for dim, known in sizes(twin.arrays).items()}
    return found | {dim: size for dim, size in new.items() if size or dim not in found}


def _reach(store: Store, coordinate: Document) -> int:
    """The slots of a growing dimension by the chunks of its coordinate, no metadata telling it."""
    (name,) = coordinate["dimension_names"]
    (chunk,) = coordinate["chunk_grid"]["configuration"]["chunk_shape"]
    found = [int(part) for part in collect_aiterator(store.list_dir(f"{name}/c")) if part.isdigit()]
    if not found:
        return 0
    size = (max(found) + 1) * chunk
    arrays = {name: {**coordinate, "shape": [size]}}
    staging = Staging(store, root={"consolidated_metadata": {"metadata": arrays}})
    values = staging.read(name, (slice(0, size),))
    return 1 + int(np.flatnonzero(values != staging.fill_value(name)).max(initial=0))


def mend(domain: Domain, path: Place, kind: Kind, *, now: Instant | None = None) -> Withdrawn:
    """Cure an archive whose metadata is whole; returns the slots to be made again.

    What is damaged is looked up under the lease, so no other writer can have cured it meanwhile.

    Args:
        domain: whose archive.
        path: the archive.
        kind: of archive.
        now: what to note as ``ingested_at`` where that was lost.

    Raises:
        ArchiveBusyError: if a writer is at work.
        StorageError: if the storage refuses; run it again once it is cured.
    """
    with writer_lease(path) as lease, storage_errors(str(path)):
        found = verify_archive(path, kind, domain=domain, patience_s=0).findings
        damage = _Damage(domain, path, kind, [one for one in found if is_mendable(one, kind)])
        store = lease.store()
        damage.mend_coordinates(store)
        if kind == "analysis":
            return _mend_analysis(damage, store, layout.unix_seconds(now))
        return (_mend_forecast if kind == "forecast" else _mend_evaluation)(damage, store)


class _Damage:
    """The findings of one archive, asked for by array and slot."""

    def __init__(
        self, domain: Domain, path: Place, kind: Kind, findings: Sequence[Finding]
    ) -> None:
        self.domain = domain
        self.path = path
        self.kind = kind
        self.findings = findings
        self.axis = layout.Axis(domain.start, domain.cadence)
        self.extent = {
            dim: max(found)
            for dim, found in sizes(read_metadata(path, REQUIRED[kind]).arrays).items()
        }

    def keys(self, *arrays: str) -> list[str]:
        """Objects of some arrays that cannot be read."""
        return [
            finding.key
            for finding in self.findings
            if finding.fault == Fault.UNREADABLE and finding.array in arrays
        ]

    def slots(self, name: str, dim: str, *, but: Collection[str] = ()) -> Flags:
        """Slots (n,) in which an array is damaged."""
        flags = np.zeros(self.extent[dim], np.bool_)
        for finding in self.findings:
            span = finding.along(dim)
            if finding.array == name and span is not None and finding.what not in but:
                flags[span] = True
        return flags

    def staging(self, store: Store) -> Staging:
        return Staging(store, seals=_SEALS[self.kind])

    def mend_coordinates(self, store: Store) -> None:
        """Write coordinates again that the domain file and the extent determine."""
        damaged = {finding.array for finding in self.findings} & {*STATIC, *DERIVED}
        if not damaged:
            return
        leads = None if self.kind == "analysis" else self.domain.lead_times
        values = static_values(self.domain, self.kind) | derived_values(
            self.kind, self.axis, self.extent.__getitem__, leads
        )
        staging = self.staging(store)
        staging.forget(self.keys(*damaged))
        for name in damaged & values.keys():
            staging.write(name, tuple(slice(0, size) for size in values[name].shape), values[name])
        staging.commit()


def _mend_analysis(damage: _Damage, store: Store, now_s: int) -> Withdrawn:
    """Lost fields become missing; a lost status or digest makes an hour preliminary.

    Preliminary is the careful reading of a field whose status nobody knows: it stays usable,
    and the next ingest replaces it by whatever the source has.
    """
    status_lost, digest_lost, note_lost = (
        damage.slots(name, TIME) for name in (STATUS, SOURCE_DIGEST, INGESTED_AT)
    )
    stray = damage.slots(T2M, TIME) & ~damage.slots(T2M, TIME, but=[FIELD_WITHOUT_STATUS])
    field_lost = damage.slots(T2M, TIME, but=[FIELD_WITHOUT_STATUS])
    everything = (slice(0, status_lost.size),)

    staging = damage.staging(store)
    staging.forget(damage.keys(STATUS, SOURCE_DIGEST, INGESTED_AT))
    status = staging.read(STATUS, everything)
    holds_field = _finite(damage.path, np.flatnonzero(status_lost & ~field_lost), status_lost.size)
    status[status_lost] = np.where(holds_field, Status.PRELIMINARY, Status.MISSING)[status_lost]
    usable = np.isin(status, USABLE)
    status[digest_lost & usable] = Status.PRELIMINARY
    status[field_lost & usable] = Status.MISSING
    is_blank = (status == Status.MISSING) & (field_lost | status_lost)
    written_at = staging.read(INGESTED_AT, everything)
    written_at[is_blank] = 0
    written_at[note_lost & (status != Status.MISSING)] = now_s
    digests = staging.rows(SOURCE_DIGEST, np.arange(status.size))
    staging.write(STATUS, everything, status)
    staging.write(INGESTED_AT, everything, written_at)
    staging.write_rows(SOURCE_DIGEST, np.flatnonzero(digest_lost | is_blank | stray), 0)
    staging.commit()

    staging = damage.staging(store)
    staging.forget(damage.keys(T2M))
    staging.write_rows(T2M, np.flatnonzero(field_lost | is_blank | stray), np.nan)
    staging.commit()
    # Hours that a repair killed before this one withdrew are among those of a damaged chunk.
    due = (status_lost | digest_lost | field_lost | stray) & np.isin(status, _TO_MAKE)
    return Withdrawn(damage.axis.times(due.size)[due], digests=digests[due])


def _finite(path: Place, slots: npt.NDArray[np.int64], size: int) -> Flags:
    """Which of some slots (of n) hold a whole field, read chunk by chunk."""
    flags = np.zeros(size, np.bool_)
    source = layout.array(open_published(path), T2M)
    for part in np.split(slots, np.flatnonzero(np.diff(slots // source.chunks[0])) + 1):
        if part.size:
            fields = layout.read_rows(source, part, missing=np.nan)
            flags[part] = np.isfinite(fields).all(axis=(1, 2))
    return flags


def _recover_written_leads(damage: _Damage, store: Store) -> Flags:
    """A forecast that has a version is complete: it is put before its version.

    Returns the slots (n,) that hold a forecast.
    """
    lost = damage.slots(WRITTEN_LEADS, INIT_TIME)
    leads = damage.extent[LEAD_TIME]
    everything = (slice(0, lost.size),)
    staging = damage.staging(store)
    staging.forget(damage.keys(WRITTEN_LEADS, MODEL_VERSION))
    written = staging.read(WRITTEN_LEADS, everything)
    named = np.asarray(staging.read(MODEL_VERSION, everything) != "")
    recovered: Flags = np.where(lost, named, written == leads)
    if lost.any():
        staging = damage.staging(store)
        staging.forget(damage.keys(WRITTEN_LEADS))
        staging.write(WRITTEN_LEADS, everything, np.where(recovered, leads, 0))
        staging.commit()
    return recovered


def _mend_forecast(damage: _Damage, store: Store) -> Withdrawn:
    recovered = _recover_written_leads(damage, store)
    own = [name for name in REQUIRED["forecast"] if name not in (*STATIC, *DERIVED, WRITTEN_LEADS)]
    own += [T2M_QUANTILE, WRITTEN_QUANTILES]
    lost = np.any([damage.slots(name, INIT_TIME) for name in own], axis=0)
    if lost.any():
        archive = ForecastArchive.open(damage.path)
        archive.blank(store, np.flatnonzero(lost), unreadable=damage.keys(*own))
    return Withdrawn(damage.axis.times(lost.size)[lost & recovered])


def _mend_evaluation(damage: _Damage, store: Store) -> Withdrawn:
    """Blank the scores of every month and model in which something is damaged."""
    months, size = damage.extent[MONTH], damage.extent[INIT_TIME]
    month_of = month_positions(damage.axis, size)
    flags = np.zeros((damage.extent[MODEL], months), np.bool_)
    for finding in damage.findings:
        rows, init, month = (finding.along(dim) for dim in (MODEL, INIT_TIME, MONTH))
        if rows is None:
            continue
        if month is not None:
            flags[rows, month] = True
        elif init is not None:
            flags[rows, np.unique(month_of[init])] = True
    if not flags.any():
        return Withdrawn(_NONE)

    seals = _SEALS["evaluation"]
    staging = damage.staging(store)
    staging.forget(damage.keys(*seals))
    for name in seals:
        _blank(staging, name, flags, month_of)
    staging.commit()

    staging = damage.staging(store)
    names = [
        name for name in staging.names if staging.document(name)["dimension_names"][0] == MODEL
    ]
    sums = [name for name in names if name not in (MODEL, *seals)]
    staging.forget(damage.keys(*sums))
    for name in sums:
        _blank(staging, name, flags, month_of)
    staging.commit()
    models = EvaluationArchive.open(damage.path).models
    touched = np.flatnonzero(flags.any(axis=1))
    due = np.asarray(flags.any(axis=0))[month_of]
    return Withdrawn(damage.axis.times(size)[due], tuple(models[row] for row in touched))


def _blank(staging: Staging, name: str, flags: Flags, month_of: npt.NDArray[np.int64]) -> None:
    """Write the fill value wherever (model, month) is flagged."""
    document = staging.document(name)
    shape = document["shape"]
    is_by_month = document["dimension_names"][1] == MONTH
    for row in np.flatnonzero(flags.any(axis=1)):
        slots = np.flatnonzero(flags[row] if is_by_month else flags[row][month_of])
        where = (slice(int(row), int(row) + 1), as_slots(slots))
        rest = tuple(slice(0, length) for length in shape[2:])
        blank = np.full((1, slots.size, *shape[2:]), staging.fill_value(name))
        staging.write(name, (*where, *rest), blank)


def _salvaged_attributes(path: Place) -> dict[str, Any]:
    """The attributes of a root that was cut short behind them; empty where they are gone."""
    try:
        text = (path / ROOT_KEY).read_text("utf-8")
        start = text.index("{", text.index('"attributes"'))
        attributes: dict[str, Any] = json.JSONDecoder().raw_decode(text, start)[0]
    except LsntpError:
        raise
    except (OSError, ValueError):
        return {}
    return attributes


def _twin(domain: Domain, kind: Kind) -> Metadata:
    """The metadata of a new, empty archive of the domain."""
    attrs = {
        "title": f"2 m temperature {kind} of the domain {domain.domain}",
        "synthetic": str(domain.is_synthetic).lower(),
        layout.CONFIGURATION: domain.to_yaml(),
    }
    grid, start, cadence = domain.target_grid, domain.start, domain.cadence
    with temporary_folder() as folder:
        path = Path(folder) / "twin.zarr"
        if kind == "analysis":
            AnalysisArchive.create(path, grid=grid, start=start, cadence=cadence, attrs=attrs)
        else:
            make = ForecastArchive if kind == "forecast" else EvaluationArchive
            leads = domain.lead_times
            make.create(
                path, grid=grid, start=start, cadence=cadence, lead_times=leads, attrs=attrs
            )
        return read_metadata(path, ())
