"""What a page of infra/ shows to type: its console blocks, and commands inside its sentences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(r"(?:<!-- run: (?P<name>[\w ]+) -->\n)?```console\n(?P<text>.*?)```", re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_COMMAND = re.compile(r"(lsntp|prefect) \S")
IN_A_CONTAINER = "docker compose --file infra/compose.yaml exec worker-cpu lsntp-entrypoint"
"""What goes before a command: without the entry point it has no secrets."""
MEANT = ("my.yaml", "/my", "lsntp-my", "gfs-6hourly")
"""A command in a sentence is a whole one if it names what it is about."""


@dataclass
class Step:
    """A command and the lines that it should print, in order; … stands for anything."""

    command: str
    expected: list[str] = field(default_factory=list)

    def missing_from(self, printed: str) -> list[str]:
        """The expected lines that were not printed, or not in that order."""
        lines = iter(printed.splitlines())
        return [line for line in self.expected if not any(_fits(line, found) for found in lines)]


def _fits(expected: str, found: str) -> bool:
    pattern = ".*".join(map(re.escape, expected.split("…")))
    return re.fullmatch(pattern, found.rstrip()) is not None


def blocks(page: Path) -> Iterator[tuple[str | None, list[Step]]]:
    """Each console block of a page: the name it is run under, if any, and its steps."""
    for block in _BLOCK.finditer(page.read_text("utf-8")):
        steps: list[Step] = []
        for line in block["text"].splitlines():
            if line.startswith("$ "):
                steps.append(Step(line.removeprefix("$ ")))
            else:
                steps[-1].expected.append(line)
        yield block["name"], steps


def commands(page: Path) -> list[str]:
    """Every command of ours or of Prefect that a page shows."""
    text = page.read_text("utf-8")
    sentences = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    inside = [" ".join(span.split()) for span in _INLINE.findall(sentences)]
    inside = [span.removeprefix(f"{IN_A_CONTAINER} ") for span in inside]
    whole = [span for span in inside if any(word in span for word in MEANT)]
    typed = [step.command for _, steps in blocks(page) for step in steps]
    return [command for command in [*typed, *whole] if _COMMAND.match(command)]


def anchors(page: Path) -> set[str]:
    """Where links into a page may lead."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
