"""What holds of two writers in every store: each waits for its turn, and none loses an hour."""

import threading
from types import ModuleType

from lsntp.archives.analysis import AnalysisArchive
from lsntp.names import Status
from lsntp.places import Place


def check_that_no_hour_is_lost(path: Place, lab: ModuleType, count: int = 24) -> None:
    """Two threads publish ``count`` hours in turn, every second one each."""

    def write(first: int) -> None:
        for slot in range(first, count, 2):
            AnalysisArchive.open(path).publish(lab.make_frames([slot]), now=lab.NOW, timeout_s=300)

    writers = [threading.Thread(target=write, args=(first,)) for first in (0, 1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert AnalysisArchive.open(path).status.tolist() == [Status.FINAL] * count
    assert lab.check(path) == count
