"""Keeping secrets where they belong: out of what is shown, and from processes that need none."""

import fnmatch
import re
from collections.abc import Mapping

_USERINFO = re.compile(r"(?<=://)[^/?#\s\"'<>]*@")
_SECRET_NAMES = (
    *("CDSAPI_*", "AWS_*", "PREFECT_*"),
    *("*_KEY", "*_TOKEN", "*_SECRET*", "*_PASSWORD*", "*_PROXY", "*_WEBHOOK*"),
)


def shown(text: str) -> str:
    """``text`` with the user and password taken out of every URL in it."""
    return _USERINFO.sub("***@", text)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables whose names do not say that they may hold a secret."""
    return {
        name: value
        for name, value in environment.items()
        if not any(fnmatch.fnmatchcase(name.upper(), secret) for secret in _SECRET_NAMES)
    }
