"""What every room's tests share."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real ERA5, NCEP and GFS files beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data files are not at {SHARED_DATA.name} beside the checkout")
    return SHARED_DATA
