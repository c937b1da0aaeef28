"""What a verification can find wrong with an archive, and where."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lsntp.places import Place

Kind = Literal["analysis", "forecast", "evaluation"]
Bounds = tuple[int, int]
"""Half-open positions along one dimension."""


class Fault(StrEnum):
    """What is wrong."""

    METADATA = "metadata"
    """A metadata document is absent, cannot be read, or does not fit the others."""
    MISSING = "missing"
    """An object that must be there is not."""
    UNREADABLE = "unreadable"
    """An object is there, but its checksum or its decoder refuses it."""
    CONTENT = "content"
    """Values that can be read contradict one another."""
    FOREIGN = "foreign"
    """The archive is whole, but made for something other than the domain."""


@dataclass(frozen=True)
class Finding:
    """One thing wrong with one array.

    Attributes:
        fault: what kind of thing.
        array: the array, or the root metadata when empty.
        what: a short statement of what was found.
        dims: the dimensions of ``region``.
        region: the positions it concerns, half-open, one pair a dimension.
        key: the object, where it is one.
        where: the region in words.
        remedy: what cures it.
    """

    fault: Fault
    array: str
    what: str
    dims: tuple[str, ...] = ()
    region: tuple[Bounds, ...] = ()
    key: str = ""
    where: str = ""
    remedy: str = ""

    def along(self, dim: str) -> slice | None:
        """The positions along ``dim``; None where the finding has no such dimension."""
        return slice(*self.region[self.dims.index(dim)]) if dim in self.dims else None

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "fault": self.fault.value,
            "array": self.array,
            "what": self.what,
            "where": self.where,
            "object": self.key,
            "remedy": self.remedy,
        }


@dataclass(frozen=True)
class ArchiveReport:
    """What a verification did with one archive.

    Attributes:
        path: the archive.
        kind: what it holds.
        slots: steps of its time axis.
        objects: chunks that are there; that none is missing was checked for all.
        decoded: how many of them were decoded.
        findings: what is wrong, in order.
    """

    path: Place
    kind: Kind
    slots: int
    objects: int
    decoded: int
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "slots": self.slots,
            "objects": self.objects,
            "decoded": self.decoded,
            "findings": [finding.to_json() for finding in self.findings],
        }


@dataclass(frozen=True)
class VerifyReport:
    """A verification of all archives of a domain."""

    archives: tuple[ArchiveReport, ...]

    @property
    def findings(self) -> int:
        """How many things are wrong."""
        return sum(len(archive.findings) for archive in self.archives)

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        archives = [archive.to_json() for archive in self.archives]
        return {"findings": self.findings, "archives": archives}


def runs(flags: npt.NDArray[np.bool_]) -> list[Bounds]:
    """The spans of neighbouring true flags (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
