"""Every archive writer holds one slot, and so does whoever asks an upstream."""

from lsntp.config import load_domain
from tasks.slots import slot_names


def test_domains_share_the_slot_of_an_upstream_but_not_of_an_archive() -> None:
    first = set(slot_names(load_domain("ncep-north-america")))
    second = set(slot_names(load_domain("era5-uk")))
    assert first & second == {"lsntp-source-files"}
