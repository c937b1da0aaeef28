"""Where everything of a domain lives below the archive root."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from lsntp.config import Domain
from lsntp.errors import ConfigError
from lsntp.places import Place, S3Path, place_of

ALARMS_FILE: Final = "alarms.json"


@dataclass(frozen=True)
class Workspace:
    """The folders of one domain below an archive root (design: one root, one folder a kind).

    Attributes:
        root: a folder of this machine, or a prefix of a bucket.
        domain: its name.
        work_root: folder of this machine for what no reader needs; None for the root where it is
            local, else for a folder in the user's cache named after it.
    """

    root: Place
    domain: str
    work_root: Path | None = None

    @classmethod
    def of(cls, domain: Domain) -> Self:
        """The workspace of a resolved configuration."""
        work = domain.work and Path(domain.work).expanduser().resolve()
        return cls(place_of(domain.root), domain.domain, work or None)

    @property
    def analysis(self) -> Place:
        """The analysis archive (Zarr)."""
        return self.root / "analysis" / f"{self.domain}.zarr"

    @property
    def static(self) -> Place:
        """Height of the ground and share of land (Zarr)."""
        return self.root / "static" / f"{self.domain}.zarr"

    @property
    def training(self) -> Place:
        """The folder of digest-named training archives."""
        return self.root / "training" / self.domain

    @property
    def models(self) -> Place:
        """The folder of model versions."""
        return self.root / "models" / self.domain

    @property
    def forecasts(self) -> Place:
        """The folder of forecast archives, one a model."""
        return self.root / "forecasts" / self.domain

    def forecast(self, model: str) -> Place:
        """The forecast archive (Zarr) of one model."""
        return self.forecasts / f"{model}.zarr"

    @property
    def evaluation(self) -> Place:
        """The evaluation archive (Zarr)."""
        return self.root / "evaluations" / f"{self.domain}.zarr"

    @property
    def report(self) -> Path:
        """The HTML report, always on this machine."""
        root = self.machine if isinstance(self.root, S3Path) else self.root
        return root / "reports" / self.domain / "index.html"

    @property
    def quarantine(self) -> Place:
        """Rejected fields with their reasons."""
        return self.root / "quarantine" / self.domain

    @property
    def locks(self) -> Place:
        """What keeps writers on all machines apart, where no archive is at hand to do so."""
        return self.root / "work" / self.domain

    @property
    def alarms(self) -> Place:
        """Which alarms are open and who has still to be told, for watches on all machines."""
        return self.locks / ALARMS_FILE

    @property
    def work(self) -> Path:
        """Partial files and checkpoints, always on this machine: nothing a reader needs."""
        return self.machine / "work" / self.domain

    @property
    def machine(self) -> Path:
        """The folder of this machine for what does not live in a bucket.

        Raises:
            ConfigError: if there is no home folder to put it in.
        """
        if self.work_root is not None:
            return self.work_root
        if not isinstance(self.root, S3Path):
            return self.root
        try:
            return Path.home().joinpath(".cache", "lsntp", *self.root.parts[1:])
        except RuntimeError as error:
            raise ConfigError(
                f"Expected a home folder of this user for partial files and checkpoints, found "
                f"none ({error}); set work, or LSNTP_WORK, to a folder of this machine."
            ) from error
