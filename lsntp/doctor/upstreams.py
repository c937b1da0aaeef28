"""What lies beyond the network: the Climate Data Store, the GFS bucket, the NCEP file hosts."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import requests
from ecmwf.datastores import Client

from lsntp.config import NcepR1Source
from lsntp.doctor.check import Check, failed, passed, skipped, warned
from lsntp.doctor.machine import seconds_ahead
from lsntp.errors import CredentialsError, LsntpError, SourceDataError
from lsntp.secrets import shown
from lsntp.sources.era5.service import credentials
from lsntp.sources.gfs.bucket import Bucket
from lsntp.sources.gfs.messages import Ticket
from lsntp.sources.ncep_r1 import FOLDERS
from lsntp.sources.transfer import MAX_REDIRECTS, host_of
from lsntp.times import Instant

TIMEOUT_S: Final = 20.0
CDS_SITE: Final = "https://cds.climate.copernicus.eu"
_LICENCE_IN_LINK: Final = re.compile(r"/licen[cs]es/([A-Za-z0-9._-]+)/")
_MAX_WORDS: Final = 300


@dataclass
class Examination:
    """Checks of upstreams, and by how many seconds the clocks of those that answered are ahead."""

    checks: list[Check] = field(default_factory=list)
    clocks: dict[str, float] = field(default_factory=dict)

    def note_clock(self, url: str, date: str | None) -> None:
        """Keep the time of an answer's Date header."""
        if (ahead_s := seconds_ahead(date)) is not None:
            self.clocks.setdefault(urlsplit(url).netloc.rpartition("@")[2], ahead_s)


def examine_cds(dataset: str, found: Examination, *, timeout_s: float = TIMEOUT_S) -> None:
    """Key, licence and reachability of the Climate Data Store; the key is never shown.

    Args:
        dataset: which data set is wanted.
        found: where outcomes go.
        timeout_s: longest wait for an answer.
    """
    page = f"{CDS_SITE}/datasets/{dataset}?tab=download#manage-licences"
    how = f"copy url and key from {CDS_SITE}/how-to-api into ~/.cdsapirc (chmod 600)"
    try:
        url, key, verify = credentials()
    except CredentialsError as error:
        found.checks.append(
            failed(
                "cds key",
                expected="url and key of the Climate Data Store in CDSAPI_URL and CDSAPI_KEY, or "
                "in the file CDSAPI_RC or ~/.cdsapirc",
                found=str(error),
                remedy=how,
            )
        )
        return
    client = _client(url, key, verify, timeout_s, found)
    name = "cds key"
    try:
        client.check_authentication()
        found.checks.append(passed(name, f"accepted by {urlsplit(url).netloc}"))
        name = "cds licence"
        found.checks.append(_licences(client, dataset, page))
    except (requests.RequestException, ValueError, AssertionError) as error:
        found.checks.append(_refused(name, url, key, error, how))


def _client(url: str, key: str, verify: bool, timeout_s: float, found: Examination) -> Client:
    """One that asks once, keeps quiet and follows no link with the key."""
    session = requests.Session()
    session.max_redirects = 0
    session.hooks["response"].append(
        lambda reply, *_, **__: found.note_clock(reply.url, reply.headers.get("Date"))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # messages of the service that cannot be had
        return Client(
            url=url,
            key=key,
            verify=verify,
            timeout=timeout_s,
            progress=False,
            sleep_max=1,
            retry_after=0.1,
            maximum_tries=1,
            session=session,
        )


def _licences(client: Client, dataset: str, page: str) -> Check:
    """Whether the licences that the data set names are among those accepted."""
    accepted = {str(one.get("id")) for one in client.get_accepted_licences()}
    links: list[dict[str, Any]] = client.get_collection(dataset).json.get("links", [])
    named = [_LICENCE_IN_LINK.search(str(link.get("href", ""))) for link in _of_licences(links)]
    needed = {match.group(1) for match in named if match}
    absent = needed - accepted
    if absent or not accepted:
        return failed(
            "cds licence",
            expected=f"accepted: {', '.join(sorted(needed)) or f'the licence of {dataset}'}",
            found=f"accepted: {', '.join(sorted(accepted)) or 'none'}",
            remedy=f"accept it, logged in, at {page}",
        )
    if not needed:
        return skipped(
            "cds licence",
            f"{dataset} does not say which it needs; accepted: {', '.join(sorted(accepted))}. If "
            f"a request is refused, visit {page}",
        )
    return passed("cds licence", f"accepted: {', '.join(sorted(needed))}")


def _of_licences(links: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [link for link in links if link.get("rel") in ("license", "licence")]


def _refused(name: str, url: str, key: str, error: Exception, how: str) -> Check:
    words = shown(str(error).replace(key, "***"))[:_MAX_WORDS]
    reply = error.response if isinstance(error, requests.RequestException) else None
    status = None if reply is None else reply.status_code
    if status in (requests.codes.unauthorized, requests.codes.forbidden):
        return failed(
            name,
            expected=f"a key that {urlsplit(url).netloc} accepts",
            found=words,
            remedy=f"it was mistyped or renewed, or the account is not active: {how}",
        )
    return failed(
        name,
        expected=f"an answer of the Climate Data Store at {url}",
        found=words or type(error).__name__,
        remedy="check the network, a proxy (HTTPS_PROXY) and url in ~/.cdsapirc; the service's "
        "state is shown at https://status.ecmwf.int",
    )


def examine_bucket(
    bucket: str,
    resolution: str,
    init_time: Instant,
    found: Examination,
    *,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Whether the GFS bucket can be read, asked as the source asks: signed if there is a key.

    Args:
        bucket: its name; endpoint, region and key are those of the usual AWS variables.
        resolution: of the analyses.
        init_time: of one that should be there.
        found: where outcomes go.
        timeout_s: longest wait for an answer.
    """
    reader = Bucket(
        bucket, connections=1, retries=0, pause_s=1, timeout_s=timeout_s, deadline_s=timeout_s
    )
    key = Ticket(init_time, 0).key(resolution)
    try:
        date = reader.date(key)
    except LsntpError as error:
        found.checks.append(
            failed(
                "gfs bucket",
                expected=f"an answer of the bucket {bucket}",
                found=str(error)[:_MAX_WORDS],
                remedy="check the network, a proxy (HTTPS_PROXY), AWS_ENDPOINT_URL, the AWS key "
                "(the public bucket needs none) and the name of the bucket",
            )
        )
        return
    if date is None:
        expected, remedy = f"an analysis at {reader.where(key)}", "look whether NOAA is late"
        check = warned("gfs bucket", expected=expected, found="none there", remedy=remedy)
    else:
        found.note_clock(f"//{bucket}", date)
        check = passed("gfs bucket", f"{reader.where(key)} can be read")
    found.checks.append(check)


def examine_hosts(
    config: NcepR1Source, year: int, found: Examination, *, timeout_s: float = TIMEOUT_S
) -> None:
    """Whether every host has the file of a year; one that has it is enough.

    Args:
        config: the hosts and the variable.
        year: of the file to ask for.
        found: where outcomes go.
        timeout_s: longest wait for an answer.
    """
    outcomes: list[tuple[str, str, requests.Response | Exception]] = []
    for root in config.hosts:
        url = f"{root}/{FOLDERS[config.variable]}/{config.variable}.{year}.nc"
        try:
            reply = _head(url, {host_of(root) for root in config.hosts}, timeout_s)
            found.note_clock(reply.url, reply.headers.get("Date"))
            reply.raise_for_status()
            outcomes.append((f"files of {host_of(url)}", url, reply))
        except (requests.RequestException, SourceDataError) as error:
            outcomes.append((f"files of {host_of(url)}", url, error))
    is_any_there = any(isinstance(outcome, requests.Response) for *_, outcome in outcomes)
    for name, url, outcome in outcomes:
        if isinstance(outcome, requests.Response):
            size = int(outcome.headers.get("Content-Length", 0)) / 2**20
            found.checks.append(passed(name, f"{url} is there, {size:.1f} MiB"))
            continue
        found.checks.append(
            (warned if is_any_there else failed)(
                name,
                expected=f"the file {url}",
                found=shown(str(outcome))[:_MAX_WORDS],
                remedy="check the network and a proxy (HTTPS_PROXY), or correct source.hosts; "
                "one host that answers is enough",
            )
        )


def _head(url: str, hosts: set[str], timeout_s: float) -> requests.Response:
    """The answer to HEAD, behind redirects that stay on the configured hosts."""
    for _ in range(MAX_REDIRECTS + 1):
        reply = requests.head(url, timeout=timeout_s, allow_redirects=False)
        if not reply.is_redirect:
            return reply
        url = urljoin(url, reply.headers["Location"])
        if urlsplit(url).netloc not in hosts:
            break
    raise SourceDataError(f"a redirect to {urlsplit(url).netloc}, which source.hosts does not name")
