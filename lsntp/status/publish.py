"""``<root>/status``: a JSON document a domain, its schema, and one page of them all.

Every file is put in one step, on disk or in a bucket. Nobody needs this package to read them.
"""

import json
from typing import Final

from pydantic import ValidationError

from lsntp.archives.lease import writer_lease
from lsntp.archives.staging import storage_errors
from lsntp.config import Domain
from lsntp.places import Place, matching
from lsntp.report.html import INDEX
from lsntp.status.document import Status, schema
from lsntp.status.page import render_status
from lsntp.workspace import Workspace

SCHEMA_FILE: Final = "status.schema.json"
"""No domain can take that name: theirs have no dot."""


def publish_status(domain: Domain, status: Status) -> Place:
    """Put a domain's document in place of the one before, and the page anew; its path.

    Raises:
        ArchiveBusyError: if another process keeps writing there.
        StorageError: if the storage refuses; what was there stays whole.
    """
    root = Workspace.of(domain).root
    folder = root / "status"
    page = folder / INDEX.file
    with writer_lease(root / "work" / "status") as lease, storage_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        lease.replace(folder / f"{status.domain}.json", status.to_json().encode())
        lease.replace(folder / SCHEMA_FILE, json.dumps(schema(), indent=2).encode() + b"\n")
        lease.replace(page, render_folder(folder).encode())
    return page


def render_folder(folder: Place) -> str:
    """The page about every document in a folder; one that cannot be read is told."""
    entries, faults = list[Status](), list[str]()
    for path in matching(folder, "*.json"):
        if path.name == SCHEMA_FILE:
            continue
        try:
            entries.append(Status.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            faults.append(
                f"Expected in {path.name} how a domain stands, found something else; its next "
                "watch writes it again. Remove it where the domain is watched no more."
            )
    reports = folder.parent / "reports"
    return render_status(
        entries,
        reports=[
            entry.domain for entry in entries if (reports / entry.domain / INDEX.file).exists()
        ],
        faults=faults,
    )
