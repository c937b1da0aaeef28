"""Nothing in infra/ is a secret: only where each is to be found."""

import re
from pathlib import Path

import pytest

from tests.infra.files import INFRA

# What keys look like, whoever issues them.
SHAPES = {
    "a key of Amazon": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a key of the Climate Data Store": r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
    "a password in a URL": r"://[^/\s:@\"'<>$]+:[^/\s@\"'<>$]+@",
    "a long random text": (
        r"(?<![\w/.+-])(?=[\w+/-]*\d)(?=[\w+/-]*[a-z])(?=[\w+/-]*[A-Z])[\w+/-]{32,}"
    ),
    "a token of a service": r"\b(?:ghp_|github_pat_|xox[abp]-|glpat-|sk-|pnu_|pnb_)\w{10,}",
    "an incoming webhook": r"https://hooks\.\S+/\w{8,}",
}
# A name that says secret, given a value that is neither empty, a reference, a path nor a word in
# capitals that stands for one.
ASSIGNED = re.compile(
    r"(?i)\b[\w-]*(?:password|passwd|secret[_-]?(?:access[_-]?)?key|auth[_-]string|api[_-]?key|"
    r"cdsapi_key|token)\b[\"']?\s*[:=]\s*[\"']?(?![\"'\s]|$|\$|\{|/|(?-i:[A-Z_:]+)\b)([^\s\"',}]+)"
)
PLANTED = {
    "aws.env": "AWS_ACCESS_KEY_ID=" + "AKIA" + "IOSFODNN7EXAMPLE",
    "tls.pem": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "cds.env": "CDSAPI_KEY=" + "01234567-89ab-" + "cdef-0123-456789abcdef",
    "db.yaml": "url: postgresql://prefect:" + "hunter2@database/prefect",
    "key.yaml": "value: wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY",
    "forge.env": "X=" + "ghp_" + "0123456789abcdefghij",
    "hook.yaml": "url: https://hooks.example.com/services/" + "T0123456789",
    "compose.yaml": "POSTGRES_PASSWORD: " + "hunter2",
    "auth.env": "PREFECT_API_AUTH_STRING=" + "admin:pass",
}


def findings(folder: Path) -> list[str]:
    """Each line below a folder that looks as if it held a secret."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if {"secrets", ".env", "domains"} & set(path.relative_to(folder).parts):
            continue  # a machine's own, never committed
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            kinds = [kind for kind, shape in SHAPES.items() if re.search(shape, line)]
            if ASSIGNED.search(line):
                kinds.append("a value of a secret")
            found += [f"{path.name}:{number}: {kind}" for kind in kinds]
    return found


def test_no_file_holds_anything_that_looks_like_a_secret() -> None:
    assert findings(INFRA) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_secret_of_each_kind_would_be_found(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(f"# harmless\n{PLANTED[name]}\n")
    assert findings(tmp_path)
