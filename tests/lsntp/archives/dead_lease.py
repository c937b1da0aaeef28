"""What holds of a lease in every store whose leases end by themselves."""

import pytest

from lsntp.archives.lease import writer_lease
from lsntp.errors import ArchiveBusyError
from lsntp.places import Place


def check_that_a_dead_lease_is_taken_over(path: Place) -> None:
    """Once the term of a writer has passed that renews no more, as if killed or stopped."""
    with writer_lease(path) as lost:
        lost._stop.set()
        with writer_lease(path, timeout_s=60) as held:
            assert (lost.is_held, held.is_held) == (False, True)
            with pytest.raises(ArchiveBusyError, match="not renewed in time"):
                lost.check()
