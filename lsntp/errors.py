"""Every error says what was expected, what was found, where, and what to do.

``exit_code`` is what the command line returns; ``is_transient`` says whether
waiting can cure it, and is the only thing a task may retry on.
"""

from typing import ClassVar


class LsntpError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code: ClassVar[int] = 1
    is_transient: ClassVar[bool] = False


class ConfigError(LsntpError, ValueError):
    """A domain file is wrong; the message names file, key, value and what is allowed."""

    exit_code = 2


class DomainError(LsntpError, ValueError):
    """A grid, period or domain does not fit what it is used with."""

    exit_code = 3


class SourceDataError(LsntpError, ValueError):
    """A source delivered something that cannot be used; waiting will not help."""

    exit_code = 4


class SourceUnavailableError(LsntpError, ConnectionError):
    """A source could not be reached or is not ready yet; worth a retry."""

    exit_code = 5
    is_transient = True


class CredentialsError(LsntpError, PermissionError):
    """A key is missing or refused, or a licence is not accepted; a person has to act."""

    exit_code = 13


class ArchiveError(LsntpError):
    """An archive is damaged, has another layout, or the write would break its guarantees."""

    exit_code = 6


class ArchiveNotFoundError(ArchiveError, FileNotFoundError):
    """The archive does not exist yet."""


class ArchiveBusyError(ArchiveError):
    """Another writer holds the lease of the archive; worth a retry."""

    exit_code = 7
    is_transient = True


class StorageError(ArchiveError, OSError):
    """The storage refused a write: full, read-only, or no permission. Nothing stored changed."""

    exit_code = 8


class StorageUnavailableError(StorageError, ConnectionError):
    """The storage cannot be reached or is overloaded; worth a retry. Nothing stored changed."""

    exit_code = 5
    is_transient = True


class TrainingDataError(LsntpError, ValueError):
    """Too little, overlapping or incomplete data to train or split on."""

    exit_code = 9


class ModelError(LsntpError, ValueError):
    """A model version is missing, damaged, or does not fit the data it is given."""

    exit_code = 10


class EvaluationError(LsntpError, ValueError):
    """There is nothing to score or compare, or the pieces do not belong together."""

    exit_code = 11


class HardwareError(LsntpError, RuntimeError):
    """The machine lacks what the run was told to use; on another one it would do."""

    exit_code = 10


class DeploymentError(LsntpError):
    """The scheduler is unreachable or refuses what was asked of it."""

    exit_code = 12


class DeliveryError(LsntpError, ConnectionError):
    """Nobody took an alarm that was told; the next watch tells it again."""

    exit_code = 12
    is_transient = True


class ClusterError(LsntpError, ConnectionError):
    """The Dask cluster cannot be reached; worth a retry."""

    exit_code = 12
    is_transient = True


class BlockError(LsntpError, RuntimeError):
    """A block of a computation fails wherever it is tried; the message names it."""

    exit_code = 12


class RankLostError(LsntpError, ChildProcessError):
    """A process of a fit on several devices was lost; run again, it goes on: worth a retry."""

    exit_code = 12
    is_transient = True
