"""Files that are whole or absent, of one domain or many, and damaged neighbours."""

import json
import os

import jsonschema
import pytest

from lsntp.archives import lease
from lsntp.errors import StorageError
from lsntp.status.publish import publish_status, render_folder


@pytest.fixture
def domain(make_domain, tmp_path):
    return make_domain(tmp_path / "root")


def test_document_schema_and_page_lie_beside_the_archives(domain, make_status, tmp_path):
    page = publish_status(domain, make_status("small"))
    folder = tmp_path / "root" / "status"
    assert page == folder / "index.html"
    assert {path.name for path in folder.iterdir()} == {
        "small.json",
        "status.schema.json",
        "index.html",
    }
    content = json.loads((folder / "small.json").read_text())
    jsonschema.validate(content, json.loads((folder / "status.schema.json").read_text()))
    assert 'data-domain="small"' in page.read_text()


def test_the_page_has_every_domain_and_a_damaged_document_hides_no_other(
    domain, make_status, tmp_path
):
    publish_status(domain, make_status("small"))
    folder = tmp_path / "root" / "status"
    (folder / "torn.json").write_text("{")
    page = publish_status(domain, make_status("other"))
    text = page.read_text()
    assert 'data-domain="small"' in text
    assert 'data-domain="other"' in text
    assert "Expected in torn.json how a domain stands" in text


def test_a_report_beside_the_page_is_linked(domain, make_status, tmp_path):
    (tmp_path / "root" / "reports" / "small").mkdir(parents=True)
    (tmp_path / "root" / "reports" / "small" / "index.html").write_text("report")
    text = publish_status(domain, make_status("small")).read_text()
    assert 'href="../reports/small/index.html"' in text


def test_a_storage_that_refuses_leaves_the_old_page_whole(
    domain, make_status, make_troubled, monkeypatch
):
    page = publish_status(domain, make_status("small"))
    before = {path.name: path.read_bytes() for path in page.parent.iterdir()}

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(lease, "replace_file", full)
    with pytest.raises(StorageError):
        publish_status(domain, make_troubled(domain="small"))
    assert {path.name: path.read_bytes() for path in page.parent.iterdir()} == before


def test_a_folder_without_documents_is_a_page_too(tmp_path):
    assert "No domain is watched here yet" in render_folder(tmp_path)
