"""The whole life of a domain whose root is a bucket, compared with that of one on disk."""

import json

import numpy as np
import pytest
import xarray as xr

from lsntp.alarms import findings
from lsntp.archives.ledger import HourLedger
from lsntp.archives.quarantine import Quarantine, Rejection, Release
from lsntp.archives.verification import verify
from lsntp.doctor.bucket import check_bucket
from lsntp.doctor.check import Health
from lsntp.evaluation.scoring import evaluate
from lsntp.forecasting import forecast
from lsntp.ingest import ingest
from lsntp.places import S3Path, place_of
from lsntp.status.collect import status_of
from lsntp.status.publish import publish_status
from lsntp.times import Period, hours, parse_time
from lsntp.training import champion_of, list_versions, promote, rollback, train
from lsntp.workspace import Workspace

NOW = parse_time("2021-02-01")
FORECAST = Period.parse("2021-01-12T00", "2021-01-12T04")
MODELS = ("persistence", "ridge")


def live(domain) -> None:
    ingest(domain, period=Period.parse("2021-01-01", "2021-01-16"), clock=lambda: NOW)
    train(domain)
    first, second = (version.version for version in list_versions(Workspace.of(domain).models))
    promote(domain, first, by="test", reason="first")
    promote(domain, second, by="test", reason="second")
    rollback(domain, by="test", reason="back")
    forecast(domain, period=FORECAST)
    evaluate(domain)


def contents(domain) -> dict[str, xr.Dataset]:
    """Every archive as plain xarray opens it."""
    workspace = Workspace.of(domain)
    (training,) = workspace.training.glob("*.zarr")
    archives = {
        "analysis": workspace.analysis,
        "evaluation": workspace.evaluation,
        "training": training,
        **{name: workspace.forecast(name) for name in (*MODELS, "champion")},
    }
    opened = {name: xr.open_zarr(str(path), chunks=None) for name, path in archives.items()}
    for name in (*MODELS, "champion"):  # hundreds of slots before are empty, each one request
        opened[name] = opened[name].sel(init_time=slice(FORECAST.start, None))
    return {name: dataset.load() for name, dataset in opened.items()}


def test_a_domain_lives_in_a_bucket_as_it_does_on_disk(
    archive_bucket, tmp_path, make_domain, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = {"networks": {}, "baselines": list(MODELS)}
    on_disk = make_domain(tmp_path / "root", **settings)
    in_bucket = make_domain(
        f"s3://{archive_bucket.bucket}/weather", work=str(tmp_path / "work"), **settings
    )
    live(on_disk)
    live(in_bucket)
    expected, found = contents(on_disk), contents(in_bucket)
    for name, dataset in expected.items():
        assert found[name].equals(dataset), name
    champion = champion_of(in_bucket)
    assert champion is not None
    assert [champion.action, *(reign.action for reign in champion.history)] == [
        "rolled back",
        "forced",
        "forced",
    ]
    versions = [list_versions(Workspace.of(one).models) for one in (on_disk, in_bucket)]
    assert [v.version for v in versions[0]] == [v.version for v in versions[1]]
    report = verify(in_bucket, sample=None)
    assert len(report.archives) == 5
    assert all(archive.findings == () for archive in report.archives)
    assert "DELETE" not in {request.method for request in archive_bucket.requests}
    assert not (tmp_path / "home").exists()
    written = len(archive_bucket.requests)
    before = {key: archive_bucket.get(key) for key in archive_bucket.stored()}
    train(in_bucket)
    forecast(in_bucket, period=FORECAST)
    evaluate(in_bucket)
    assert len(archive_bucket.requests) > written
    after = {key: archive_bucket.get(key) for key in archive_bucket.stored()}
    differs = {key for key in after if after[key] != before.get(key)}
    assert all(key.endswith(".lease") for key in differs)  # a rerun changes nothing


def test_how_a_domain_in_a_bucket_stands_is_published_beside_its_archives(
    archive_bucket, tmp_path, make_domain
):
    """What concerns neither the place nor the disk is what one on disk publishes."""
    settings = {"networks": {}, "baselines": ["persistence"]}
    on_disk = make_domain(tmp_path / "root", **settings)
    root = f"s3://{archive_bucket.bucket}/standing"
    in_bucket = make_domain(root, work=str(tmp_path / "work"), **settings)
    documents = []
    for domain in (on_disk, in_bucket):
        ingest(domain, period=Period.parse("2021-01-01", "2021-01-16"), clock=lambda: NOW)
        for _ in range(2):  # the second replaces what the first put
            found = findings(domain, NOW)
            page = publish_status(domain, status_of(domain, found, {}, NOW))
        assert page == Workspace.of(domain).root / "status" / "index.html"
        assert domain.domain in page.read_text("utf-8")
        documents.append(json.loads((page.parent / f"{domain.domain}.json").read_text("utf-8")))
    expected, stored = documents
    for name in ("analysis", "coverage", "forecast", "skill", "level"):
        assert stored[name] == expected[name], name
    told = [one["found"] for one in expected["judgements"] if one["name"] != "disk-space"]
    assert [one["found"] for one in stored["judgements"] if one["name"] != "disk-space"] == [
        text.replace(str(tmp_path / "root"), root) for text in told
    ]
    assert "DELETE" not in {request.method for request in archive_bucket.requests}


def test_a_bucket_keeps_rejected_fields_until_somebody_vouches_for_them_or_discards_them(
    archive_bucket,
):
    folder = place_of(f"s3://{archive_bucket.bucket}/quarantine/small")
    time = parse_time("2021-01-01T06")
    frame = xr.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), np.full((1, 2, 3), 400, np.float32)),
            "source_digest": (("time", "digest_byte"), np.full((1, 32), 7, np.uint8)),
        },
        {"time": [time]},
        {"limits": "{}"},
    )
    rejection = Rejection(time, ("too hot",))
    assert Quarantine(folder).put(rejection, frame)
    assert not Quarantine(folder).put(rejection, frame)
    (entry,) = Quarantine(folder).entries()
    assert entry.name == "20210101T0600Z-070707070707"
    assert entry.field().values.tolist() == frame["t2m"].values.tolist()
    Quarantine(folder).record_release(entry, Release(NOW, "me", "true"))
    (entry,) = Quarantine(folder).entries()
    assert entry.release == Release(NOW, "me", "true")
    Quarantine(folder).discard(entry)
    assert Quarantine(folder).entries() == []
    assert Quarantine(folder).held("{}") == {}
    assert Quarantine(folder).put(rejection, frame)
    assert "DELETE" not in {request.method for request in archive_bucket.requests}


def test_a_bucket_keeps_notes_about_hours(archive_bucket):
    folder = place_of(f"s3://{archive_bucket.bucket}/quarantine/small")
    times = parse_time("2021-01-01") + np.arange(3) * hours(1)
    for count in (3, 2):
        HourLedger(folder, hours(1)).note_asked(times, in_vain=times[:count], why={}, now=NOW)
    (asked,) = HourLedger(folder, hours(1)).asked()
    assert (asked.start, asked.end, asked.at) == (times[0], times[2], NOW)


def test_the_doctor_tells_a_bucket_that_keeps_conditions_from_one_that_ignores_them(
    archive_bucket,
):
    root = place_of(f"s3://{archive_bucket.bucket}/weather")
    assert isinstance(root, S3Path)
    for _ in range(2):
        assert check_bucket(root).health == Health.OK

    def without_conditions(answer, environ, start):
        conditions = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")
        return answer({k: v for k, v in environ.items() if k not in conditions}, start)

    archive_bucket.answer("PUT", ".", without_conditions, times=10)
    check = check_bucket(root)
    assert check.health == Health.FAILED
    assert "If-None-Match and If-Match ignored" in check.found
    archive_bucket.forget()
    archive_bucket.fail("PUT", ".", 403, "AccessDenied", times=10)
    assert "AWS_ACCESS_KEY_ID" in check_bucket(root).found


@pytest.mark.parametrize(
    "root", ["s3://", "s3://bucket/../other", "s3://me:secret@host/x", "gs://bucket", "s3://b/x?y"]
)
def test_a_root_that_is_no_place_is_refused(root, make_domain):
    with pytest.raises(ValueError, match="s3://bucket/prefix"):
        make_domain(root)
