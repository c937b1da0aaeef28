"""Yearly files cut from the real excerpt, a host that serves them, and a domain of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lsntp.config import Domain, load_domain
from tests.lsntp.sources.ncep_r1.reading import FIRST_YEAR, SECOND_YEAR, YAML
from tests.standins.file_host import FileHost
from tests.standins.reanalysis_files import EXCERPT, yearly_file


@pytest.fixture(scope="session")
def excerpt(shared_data: Path) -> Path:
    return shared_data / EXCERPT


@pytest.fixture(scope="session")
def years(excerpt: Path) -> dict[int, bytes]:
    return {year: yearly_file(excerpt, year) for year in (2013, 2014)}


@pytest.fixture
def host(years: dict[int, bytes]) -> Iterator[FileHost]:
    with FileHost().running() as running:
        running.put(FIRST_YEAR, years[2013])
        running.put(SECOND_YEAR, years[2014])
        yield running


@pytest.fixture
def domain_of(tmp_path: Path) -> Callable[..., Domain]:
    def make(*hosts: FileHost, name: str = "plains", variable: str = "air.sig995", **overrides):
        path = tmp_path / f"{name}.yaml"
        roots = ", ".join(host.url for host in hosts)
        path.write_text(
            YAML.format(name=name, variable=variable, hosts=roots, root=tmp_path / "root")
        )
        return load_domain(path, overrides=overrides)

    return make
