"""Pages from templates: one layout, the style and script inlined, nothing loaded from anywhere."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import lsntp
from lsntp.config import Domain

REPORT_ID = "lsntp-report-id"
"""Stands for the identity of the whole report until all its pages are there."""


@dataclass(frozen=True)
class PageLink:
    """One entry of the navigation."""

    file: str
    label: str


INDEX = PageLink("index.html", "Forecast")
SKILL = PageLink("skill.html", "Skill")
MODELS = PageLink("models.html", "Models")
WORST = PageLink("worst.html", "Worst cases")
QUALITY = PageLink("quality.html", "Quality")
COVERAGE = PageLink("coverage.html", "Coverage")
PAGES = (INDEX, SKILL, MODELS, WORST, QUALITY, COVERAGE)


@dataclass(frozen=True)
class NumberTable:
    """A table of text: a caption, a name per column, rows whose first entry is their heading.

    ``words`` is how many of the first columns hold words, which stand to the left, not numbers.
    """

    caption: str
    columns: list[str]
    rows: list[list[str]]
    words: int = 1


def render_page(template: str, page: PageLink, domain: Domain, **content: Any) -> str:
    """One page of a domain's report; the same content gives the same bytes.

    Args:
        template: its file.
        page: which entry of the navigation is current.
        domain: whose report.
        content: what the template names.
    """
    return render(
        template, domain=domain, pages=PAGES, current=page.file, report_id=REPORT_ID, **content
    )


def render(template: str, **content: Any) -> str:
    """A template with the style, the script and the version of this package."""
    return (
        _environment()
        .get_template(template)
        .render(
            css=_resource("style.css"),
            js=_resource("script.js"),
            lsntp_version=lsntp.__version__,
            **content,
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("lsntp", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _resource(name: str) -> str:
    return (resources.files("lsntp.report") / name).read_text("utf-8")
