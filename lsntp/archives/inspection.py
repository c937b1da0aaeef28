"""Reading an archive as it lies there: every object on its own, believing none of them.

:class:`Snapshot` is the published state at one moment; :class:`Look` gathers what is wrong with
it. Nothing here writes, and a writer may be at work: see :mod:`lsntp.archives.verification`.
"""

import copy
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.core.group import GroupMetadata
from zarr.core.metadata import ArrayV3Metadata
from zarr.core.sync import collect_aiterator

from lsntp.archives.findings import Fault, Finding, runs
from lsntp.archives.staging import ROOT_KEY
from lsntp.archives.stores import open_store
from lsntp.errors import LsntpError
from lsntp.grid import COORDINATE_TOLERANCE_DEG
from lsntp.places import Place

Index = tuple[int, ...]
Job = tuple[str, Index]
Flags = npt.NDArray[np.bool_]
Document = dict[str, Any]

_ZARR_ERRORS = (
    *(LookupError, ValueError, TypeError, AttributeError),
    *(AssertionError, NotImplementedError),
)
"""What Zarr raises on documents that are none of its own."""


@dataclass(frozen=True)
class Metadata:
    """The metadata documents of an archive.

    Attributes:
        root: the root document; None where it is absent or cannot be read.
        arrays: the arrays by the root's consolidated copy, the only truth about the extent.
        own: the documents beside the arrays, those that can be read.
        findings: what is wrong with them.
    """

    root: Document | None
    arrays: dict[str, Document]
    own: dict[str, Document]
    findings: tuple[Finding, ...]


def read_metadata(path: Place, required: Iterable[str]) -> Metadata:
    """All metadata documents at ``path``, and where they are absent, damaged or at odds."""
    findings: list[Finding] = []
    root = _document(path, ROOT_KEY, "", findings)
    consolidated = root["consolidated_metadata"]["metadata"] if root else {}
    known = {name: found for name, found in consolidated.items() if _is_array(found)}
    findings += [
        Finding(Fault.METADATA, name, "unreadable in the consolidated metadata")
        for name in sorted(consolidated.keys() - known)
    ]
    names = sorted({*known, *required, *_folders(path)})
    own = {}
    for name in names:
        faults: list[Finding] = []
        document = _document(path, f"{name}/{ROOT_KEY}", name, faults)
        if document is not None:
            own[name] = document
        if root is None:
            continue
        if name not in known:
            if name in required and name not in consolidated:
                findings.append(Finding(Fault.METADATA, name, "not in the consolidated metadata"))
        elif faults:
            findings += faults
        elif own[name] != known[name]:
            what = "differs from the consolidated copy"
            findings.append(Finding(Fault.METADATA, name, what, key=f"{name}/{ROOT_KEY}"))
    findings += _mismatched(known)
    return Metadata(root, known, own, tuple(findings))


def sizes(documents: Mapping[str, Document]) -> dict[str, set[int]]:
    """Every size that arrays give each dimension; more than one is a contradiction."""
    found: dict[str, set[int]] = {}
    for document in documents.values():
        for dim, size in zip(document["dimension_names"], document["shape"], strict=True):
            found.setdefault(dim, set()).add(size)
    return found


def _mismatched(documents: Mapping[str, Document]) -> list[Finding]:
    return [
        Finding(
            Fault.METADATA, "", f"arrays of {' and '.join(map(str, sorted(found)))} along {dim}"
        )
        for dim, found in sizes(documents).items()
        if len(found) > 1
    ]


def _document(path: Place, key: str, array: str, findings: list[Finding]) -> Document | None:
    try:
        document: Document = json.loads((path / key).read_bytes())
        if not (_is_array(document) if array else _is_group(document)):
            raise ValueError("no metadata of Zarr")  # noqa: TRY301
    except FileNotFoundError:
        findings.append(Finding(Fault.METADATA, array, "absent", key=key))
    except LsntpError:
        raise  # of the storage: it tells nothing about the object
    except (OSError, ValueError, KeyError, TypeError) as error:
        findings.append(Finding(Fault.METADATA, array, f"unreadable ({error})", key=key))
    else:
        return document
    return None


def _is_group(document: Any) -> bool:
    """Whether Zarr takes a document, its arrays apart, for a group with consolidated metadata."""
    try:
        zarr_document = {**document, "consolidated_metadata": None}
        GroupMetadata.from_dict(zarr_document)
        parts = (document["consolidated_metadata"]["metadata"], document.get("attributes", {}))
        return all(isinstance(part, dict) for part in parts)
    except _ZARR_ERRORS:
        return False


def _is_array(document: Any) -> bool:
    """Whether Zarr takes a document for an array with named dimensions."""
    try:
        ArrayV3Metadata.from_dict(copy.deepcopy(document))
        chunk_shape = document["chunk_grid"]["configuration"]["chunk_shape"]
        return bool(document["dimension_names"]) and all(chunk > 0 for chunk in chunk_shape)
    except _ZARR_ERRORS:
        return False


def _folders(path: Place) -> list[str]:
    """Names of arrays that have a metadata document of their own."""
    return [file.parent.name for file in path.glob(f"*/{ROOT_KEY}")] if path.is_dir() else []


class Snapshot:
    """The published state of an archive: its metadata, and which chunks are there.

    The extent is read before the objects are listed: a writer puts a slot's objects first.
    """

    def __init__(self, path: Place, metadata: Metadata) -> None:
        self.arrays = metadata.arrays
        store = open_store(path, read_only=True)
        self._group = zarr.open_group(store, mode="r", use_consolidated=True)
        self.keys = frozenset(
            key for key in collect_aiterator(store.list()) if "/c/" in key and "." not in key
        )

    def dims(self, name: str) -> tuple[str, ...]:
        """The dimensions of an array."""
        return tuple(self.arrays[name]["dimension_names"])

    def size(self, dim: str) -> int:
        """The extent of a dimension."""
        return max(sizes(self.arrays)[dim])

    def chunks(self, name: str) -> Iterator[Index]:
        """The position of every chunk of an array."""
        grid = zip(self.arrays[name]["shape"], self._chunk_shape(name), strict=True)
        return itertools.product(*(range(ceil(size / chunk)) for size, chunk in grid))

    def region(self, name: str, index: Index) -> tuple[slice, ...]:
        """What a chunk covers, cut at the extent."""
        shape = self.arrays[name]["shape"]
        cells = zip(index, self._chunk_shape(name), shape, strict=True)
        return tuple(
            slice(place * chunk, min((place + 1) * chunk, size)) for place, chunk, size in cells
        )

    def has(self, name: str, index: Index) -> bool:
        """Whether a chunk is there."""
        return self.key(name, index) in self.keys

    @staticmethod
    def key(name: str, index: Index) -> str:
        """The object that holds a chunk."""
        return "/".join((name, "c", *map(str, index)))

    def decode(self, name: str, index: Index) -> npt.NDArray[Any]:
        """The values of a chunk, cut at the extent."""
        array = self._group[name]
        return np.asarray(array[self.region(name, index)])  # type: ignore[index]

    def blank(self, name: str) -> npt.NDArray[Any]:
        """A whole array of fill values in memory."""
        array: Any = self._group[name]
        shape = self.arrays[name]["shape"]
        return np.full(shape, array.fill_value, np.asarray(array[:0]).dtype)

    def _chunk_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.arrays[name]["chunk_grid"]["configuration"]["chunk_shape"])


@dataclass(frozen=True)
class Values:
    """A whole array; ``known`` is false where its chunk cannot be read or is missing."""

    values: npt.NDArray[Any]
    known: Flags


class Look:
    """One look at an archive: what was decoded, and what is wrong."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.decoded: set[Job] = set()
        self.objects: set[Finding] = set()
        self.rows: dict[tuple[str, str, tuple[str, ...]], Flags] = {}

    def whole(self, name: str) -> Values:
        """All of a small array, decoded chunk by chunk."""
        values = self.snapshot.blank(name)
        known = np.ones(values.shape, np.bool_)
        for index in self.snapshot.chunks(name):
            region = self.snapshot.region(name, index)
            block = self.decode(name, index) if self.snapshot.has(name, index) else values[region]
            if block is None:
                known[region] = False
            else:
                values[region] = block
        return Values(values, known)

    def decode(self, name: str, index: Index) -> npt.NDArray[Any] | None:
        """The values of a chunk; None, and a finding, where it cannot be decoded."""
        self.decoded.add((name, index))
        try:
            return self.snapshot.decode(name, index)
        except LsntpError:
            raise  # of the storage: it tells nothing about the object
        except Exception as error:  # decoders raise whatever they like on hostile bytes
            reason = str(error).split(".")[0] or type(error).__name__
            self._object(Fault.UNREADABLE, name, index, f"cannot be decoded: {reason}")
            return None

    def expect_chunks(self, name: str, needed: Flags, known: Flags | None = None) -> None:
        """Note chunks that are not there though a slot of theirs needs them.

        Args:
            name: the array; ``needed`` has its leading dimensions.
            needed: slots that hold something else than the fill value.
            known: set to false where a chunk is missing.
        """
        for index in self.snapshot.chunks(name):
            if self.snapshot.has(name, index):
                continue
            region = self.snapshot.region(name, index)[: needed.ndim]
            if needed[region].any():
                self._object(Fault.MISSING, name, index, "is not there")
                if known is not None:
                    known[region] = False

    def expect_values(self, name: str, expected: npt.NDArray[Any]) -> None:
        """Note rows of an array that are not what its axis says."""
        found = self.whole(name)
        blank = np.asarray(self.snapshot.blank(name)[:1]).ravel()
        differs = expected != (blank[0] if blank.size else 0)
        self.expect_chunks(name, differs, found.known)
        # Latitudes of a Gaussian grid differ in their last digits from machine to machine.
        slack = COORDINATE_TOLERANCE_DEG if found.values.dtype.kind == "f" else 0
        wrong = ~(np.abs(found.values - expected) <= slack) & found.known
        rows = np.asarray(wrong.any(axis=tuple(range(1, wrong.ndim))))
        self.expect_rows(name, ~rows, "not the values that its axis says")

    def expect_rows(
        self, name: str, is_right: Flags, what: str, dims: tuple[str, ...] | None = None
    ) -> None:
        """Note slots, along an array's leading dimensions, whose values contradict others."""
        if not is_right.all():
            dims = dims or self.snapshot.dims(name)[: is_right.ndim]
            key = (name, what, dims)
            before = self.rows.get(key)
            self.rows[key] = ~is_right if before is None else before | ~is_right

    def agree(self, later: "Look") -> None:
        """Keep only what a later look finds as well: the rest was a writer at work."""
        self.objects &= later.objects
        kept = {}
        for key, flags in self.rows.items():
            if key in later.rows:
                common = tuple(map(min, zip(flags.shape, later.rows[key].shape, strict=True)))
                within = tuple(slice(0, size) for size in common)
                both = np.zeros_like(flags)
                both[within] = flags[within] & later.rows[key][within]
                if both.any():
                    kept[key] = both
        self.rows = kept

    def findings(self) -> list[Finding]:
        """What is wrong: by array and place, neighbouring slots together."""
        found = list(self.objects)
        for (name, what, dims), flags in self.rows.items():
            for lead in np.argwhere(np.asarray(flags.any(axis=-1))).tolist():
                before = tuple((place, place + 1) for place in lead)
                for span in runs(flags[tuple(lead)]):
                    found.append(Finding(Fault.CONTENT, name, what, dims, (*before, span)))
        return sorted(found, key=lambda finding: (finding.array, finding.region, finding.what))

    def _object(self, fault: Fault, name: str, index: Index, what: str) -> None:
        region = self.snapshot.region(name, index)
        bounds = tuple((part.start, part.stop) for part in region)
        dims, key = self.snapshot.dims(name), self.snapshot.key(name, index)
        self.objects.add(Finding(fault, name, what, dims, bounds, key))
