"""Where everything of a domain lives below the archive root."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lsntp.config import Domain


@dataclass(frozen=True)
class Workspace:
    """The folders of one domain below an archive root (design: one root, one folder a kind)."""

    root: Path
    domain: str

    @classmethod
    def of(cls, domain: Domain) -> Self:
        """The workspace of a resolved configuration."""
        return cls(Path(domain.root).expanduser().resolve(), domain.domain)

    @property
    def analysis(self) -> Path:
        """The analysis archive (Zarr)."""
        return self.root / "analysis" / f"{self.domain}.zarr"

    @property
    def static(self) -> Path:
        """Height of the ground and share of land (Zarr)."""
        return self.root / "static" / f"{self.domain}.zarr"

    @property
    def training(self) -> Path:
        """The folder of digest-named training archives."""
        return self.root / "training" / self.domain

    @property
    def models(self) -> Path:
        """The folder of model versions."""
        return self.root / "models" / self.domain

    @property
    def forecasts(self) -> Path:
        """The folder of forecast archives, one a model."""
        return self.root / "forecasts" / self.domain

    def forecast(self, model: str) -> Path:
        """The forecast archive (Zarr) of one model."""
        return self.forecasts / f"{model}.zarr"

    @property
    def evaluation(self) -> Path:
        """The evaluation archive (Zarr)."""
        return self.root / "evaluations" / f"{self.domain}.zarr"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.root / "reports" / self.domain / "index.html"

    @property
    def quarantine(self) -> Path:
        """Rejected fields with their reasons."""
        return self.root / "quarantine" / self.domain

    @property
    def work(self) -> Path:
        """Locks, partial files, checkpoints: nothing a reader needs."""
        return self.root / "work" / self.domain
