"""A real Prefect server, one a session, reachable on loopback only."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.services import Server, postgresql, prefect_server


@pytest.fixture(
    scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """`prefect server start` on SQLite, and before a release on PostgreSQL."""
    with ExitStack() as stack:
        settings = {}
        if request.param == "postgresql":
            url = stack.enter_context(postgresql())
            settings["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = url
        home, root = tmp_path_factory.mktemp("prefect"), tmp_path_factory.mktemp("root")
        yield stack.enter_context(prefect_server(home, root, **settings))
