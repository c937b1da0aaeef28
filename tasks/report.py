"""Write the HTML report."""

from prefect import get_run_logger, task
from prefect.artifacts import create_link_artifact

from lsntp.config import Domain
from tasks.policy import OPTIONS
from tasks.slots import archive_slot, slots


@task(name="write-report", **OPTIONS)
def write_page(domain: Domain) -> str:
    """Write the self-contained report page; returns its path."""
    from lsntp.report import write_report

    with slots(archive_slot(domain, "report")):
        path = write_report(domain)
    create_link_artifact(
        key=f"report-{domain.domain}", link=path.as_uri(), description=f"Report of {domain.domain}"
    )
    get_run_logger().info("%s: report %s", domain.domain, path)
    return str(path)
