"""The whole report: of a finished domain, of one that has only begun, and of none at all."""

import itertools
import re
import shutil

import numpy as np
import pytest

from lsntp.archives.analysis import AnalysisArchive
from lsntp.errors import ArchiveError
from lsntp.forecasting import forecast
from lsntp.names import Status
from lsntp.report import write_report
from lsntp.report.domains import SUMMARY, list_domains
from lsntp.report.html import PAGES, REPORT_ID
from lsntp.report.site import render_pages
from lsntp.times import Period
from lsntp.workspace import Workspace
from tests.lsntp.report.parsing import Page

FILES = {page.file for page in PAGES}
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def pages(site):
    return {path.name: path.read_text("utf-8") for path in site.glob("*.html")}


def assert_sound(text):
    """What holds for every page, whatever it has to say."""
    page = Page(text)
    assert (page.errors, page.stack) == ([], [])
    assert re.findall(r"https?:|url\((?!#)|@import", text) == []
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(level <= before + 1 for before, level in itertools.pairwise(levels))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    named = {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a}
    assert named | {a["href"][1:] for a in page.all("use")} <= set(ids)
    assert all(picture["alt"].strip() for picture in page.all("img"))
    for tag in ("header", "main", "footer"):
        assert len(page.all(tag)) == 1
    assert page.all("a")[0] == {"class": "skip", "href": "#main"}
    return page


def test_every_page_is_sound_and_small(pages):
    assert set(pages) == FILES
    for text in pages.values():
        assert_sound(text)
        assert len(text) < MEGABYTE


def test_every_page_leads_to_every_other_and_knows_where_it_is(pages):
    for file, text in pages.items():
        links = [a for a in Page(text).all("a") if a["href"] in FILES]
        assert [a["href"] for a in links] == [page.file for page in PAGES]
        assert [a["href"] for a in links if a.get("aria-current") == "page"] == [file]


def test_all_pages_carry_the_same_identity(pages):
    found = {re.search(r'name="lsntp-report" content="(.*?)"', text)[1] for text in pages.values()}
    assert len(found) == 1
    assert REPORT_ID not in found


def test_the_same_archives_give_the_same_pages(scored, site, pages):
    again = render_pages(scored.model_copy(update={"root": str(site.parents[1])}))
    assert {name: again[name] for name in FILES} == pages


def test_numbers_agree_from_page_to_page(pages):
    """The MAE of the winner over the whole domain, as three pages compute it."""
    index = Page(pages["index.html"])
    winner = re.search(r"([a-z-]+) is best: MAE (\d\.\d{3}) K", index.text)
    assert winner is not None
    skill = pages["skill.html"]
    regions = skill[skill.index("MAE by region") :]
    row = re.search(rf'<th scope="row">{winner[1]}</th><td class="n">(\d\.\d+)</td>', regions)
    assert row[1] == winner[2]


def test_the_worst_case_of_the_page_is_that_of_the_fields(pages):
    """Persistence and the model are measured on the maps, the model's rank on stored sums."""
    worst = Page(pages["worst.html"])
    said = re.findall(
        r"mean absolute error (\d+\.\d\d) K, (\d+\.\d\d) K over all leads", worst.text
    )
    assert said
    assert all(float(at_worst_lead) >= float(mean) for at_worst_lead, mean in said)
    assert len(worst.all("img")) >= 4


def test_rejected_fields_are_counted_drawn_and_explained(pages):
    quality = Page(pages["quality.html"])
    assert "3 fields for 3 times failed a quality check" in quality.text
    assert len(quality.all("img")) == 3
    assert quality.text.count("Expected a field that varies") == 2  # beside the map, in the list
    assert "for 3 of these times the archive holds another, usable field" in quality.text


def test_a_domain_of_nothing_says_what_to_run(make_domain, tmp_path):
    domain = make_domain(tmp_path)
    folder = write_report(domain).parent
    pages = {path.name: path.read_text() for path in folder.glob("*.html")}
    assert set(pages) == FILES
    for text in pages.values():
        assert_sound(text)
    assert "Run next: lsntp ingest small" in Page(pages["index.html"]).text
    assert "Run lsntp ingest small" in Page(pages["coverage.html"]).text
    assert "Run lsntp train small" in Page(pages["models.html"]).text
    assert "lsntp evaluate small" in Page(pages["skill.html"]).text
    assert "lsntp evaluate small" in Page(pages["worst.html"]).text
    assert "No field was ever rejected" in Page(pages["quality.html"]).text


def test_each_step_changes_what_is_to_run_next(ingested, trained):
    for domain, following in ((ingested, "train"), (trained, "forecast")):
        page = assert_sound(render_pages(domain)["index.html"])
        assert f"Run next: lsntp {following} small" in page.text
    forecast(trained, period=Period.parse("2021-01-12", "2021-01-12T06"))
    pages = render_pages(trained)
    assert "Run next: lsntp evaluate small" in Page(pages["index.html"]).text
    assert "forecasts now" in pages["models.html"]
    assert_sound(pages["coverage.html"])


def test_a_damaged_archive_is_an_error_and_keeps_the_older_report(scored, site, tmp_path):
    shutil.copytree(site.parents[1], tmp_path / "root", symlinks=True)
    domain = scored.model_copy(update={"root": str(tmp_path / "root")})
    path = Workspace.of(domain).report
    before = path.read_bytes()
    root = Workspace.of(domain).analysis / "zarr.json"
    root.write_bytes(root.read_bytes()[:100])
    with pytest.raises((ArchiveError, ValueError)):
        write_report(domain)
    assert path.read_bytes() == before


def test_gaps_and_preliminary_times_are_listed(make_domain, make_fields, publish, tmp_path):
    domain = make_domain(tmp_path)
    fields = make_fields(domain, 60)
    publish(domain, fields[:24])
    publish(domain, fields[30:], first=30, status=Status.PRELIMINARY)
    archive = AnalysisArchive.open(Workspace.of(domain).analysis)
    archive.mark(archive.times[24:26], Status.UPSTREAM_HOLE)
    pages = render_pages(domain)
    coverage = Page(pages["coverage.html"]).text
    assert "2021-01-02T02:00Z 2021-01-02T06:00Z missing 4 h" in coverage
    assert "2021-01-02T00:00Z 2021-01-02T02:00Z not published upstream 2 h" in coverage
    assert (
        "30 fields of 54 usable ones, from 2021-01-02T06:00Z on" in Page(pages["quality.html"]).text
    )


def test_the_index_lists_a_broken_domain_with_what_is_wrong(site, make_domain, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(site.parents[1], root)
    (root / "analysis" / "torn.zarr").mkdir()
    (root / "analysis" / "torn.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node')
    (root / "reports" / "small" / SUMMARY).write_text("{")
    write_report(make_domain(root).model_copy(update={"domain": "fresh"}))
    index = assert_sound((root / "reports" / "index.html").read_text())
    assert [a["href"] for a in index.all("a")[1:]] == ["fresh/index.html"]
    assert index.text.count("Something is wrong.") == 2
    by_name = {entry.domain: entry for entry in list_domains(root)}
    assert set(by_name) == {"fresh", "small", "torn"}
    assert by_name["small"].last_analysis == "2021-01-15T23:00Z"
    assert by_name["small"].last_forecast == "from 2021-01-13T23:00Z"
    assert by_name["torn"].faults
    assert by_name["fresh"].last_analysis == "none yet"


def test_the_index_names_the_winner(site):
    (entry,) = list_domains(site.parents[1])
    assert re.match(r"[a-z-]+ is best: MAE \d\.\d{3} K", entry.summary.headline)
    assert entry.summary.is_synthetic
    assert np.datetime64(entry.last_analysis.rstrip("Z")) == np.datetime64("2021-01-15T23:00")
