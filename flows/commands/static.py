"""The command that makes a domain's static fields."""

from flows.commands.options import DomainArgument, SetOption, overrides_from
from flows.console import out
from lsntp.config import load_domain


def static(domain: DomainArgument, override: SetOption = None) -> None:
    """Store height of the ground and share of land on the domain's grid, once.

    The section `static` of the domain says where they are from; without it there are none, and
    nothing needs them.

    Example: `lsntp static my.yaml`
    """
    from lsntp.static import make_static

    resolved = load_domain(domain, overrides=overrides_from(override))
    report = make_static(resolved)
    if report is None:
        out.print(f"static fields: {resolved.domain} has no section static; nothing to do")
        return
    done = "nothing to do, made before" if report.did_nothing else "made"
    out.print(f"static fields: {done} from {report.source}", highlight=False)
    for name, count in report.missing_cells.items():
        if count:
            out.print(f"  {name}: {count} cells without a value", highlight=False)
    out.print(f"static      {report.path}", highlight=False, soft_wrap=True)
