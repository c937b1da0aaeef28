"""What the bucket of the archives must be able to do."""

import uuid
from typing import Final

from lsntp import object_store
from lsntp.doctor.check import Check, failed, passed
from lsntp.errors import LsntpError
from lsntp.object_store import ABSENT, ChangedError
from lsntp.places import S3Path

NAME: Final = "archive root"
PROBE: Final = "doctor.probe"


def check_bucket(root: S3Path) -> Check:
    """Whether objects can be read, listed and put, and whether conditions of a put are kept.

    Writes one small object, ``work/doctor.probe``, as a writer of archives would.
    """
    probe = root / "work" / PROBE
    try:
        root.is_dir()
        present = object_store.run(object_store.head(probe.bucket, probe.key))
        etag = _put(probe, instead_of=present)
        ignored = [
            name
            for name, condition in (("If-None-Match", ABSENT), ("If-Match", "0" * 32))
            if not _is_refused(probe, condition)
        ]
    except ChangedError:
        return failed(
            NAME,
            expected=f"to put {probe} in the place of the one that is there",
            found="a refusal, as if another process had changed it",
            remedy="run the doctor again; if it stays so, this storage cannot keep archives",
        )
    except (LsntpError, FileNotFoundError) as error:
        return failed(
            NAME,
            expected=f"to read, list and put objects at {root}",
            found=str(error),
            remedy="cure what was found, then run the doctor again",
        )
    if ignored:
        return failed(
            NAME,
            expected="a storage that puts objects under a condition",
            found=f"{' and '.join(ignored)} ignored",
            remedy="use another storage: without conditions two writers destroy an archive",
        )
    return passed(NAME, f"{root} can be read and written under conditions (version {etag[:8]})")


def _put(probe: S3Path, *, instead_of: str) -> str:
    content = f"{uuid.uuid4().hex}\n".encode()
    return object_store.run(
        object_store.put(probe.bucket, probe.key, content, instead_of=instead_of)
    )


def _is_refused(probe: S3Path, condition: str) -> bool:
    try:
        _put(probe, instead_of=condition)
    except ChangedError:
        return True
    return False
