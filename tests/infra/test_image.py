"""The container image: its recipe, its context, its entry point, its health check."""

import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from docker.utils.build import exclude_paths
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.infra.command_lines import parse
from tests.infra.files import (
    ENTRYPOINT,
    INFRA,
    PROJECT,
    complaints,
    from_files,
    our_variables,
    tool,
    unknown_variables,
)

RECIPE = INFRA / "image" / "Dockerfile"
SECRET = "canary-5e1f"


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, the arguments before the first one as stage 0."""
    parser = pytest.importorskip("dockerfile_parse").DockerfileParser(str(RECIPE.parent))
    found: list[list[tuple[str, str]]] = [[]]
    for one in parser.structure:
        if one["instruction"] == "FROM":
            found.append([])
        if one["instruction"] != "COMMENT":
            found[-1].append((one["instruction"], one["value"]))
    return found


def default(argument: str) -> str:
    """The value of a build argument when none is given."""
    return dict(value.split("=", 1) for name, value in stages()[0] if name == "ARG")[argument]


def of_last(instruction: str) -> list[str]:
    return [value for name, value in stages()[-1] if name == instruction]


def variables() -> dict[str, str]:
    pairs = re.findall(r"([A-Z_]+)=(\S+)", " ".join(of_last("ENV")))
    return dict(pairs)


def test_the_linter_of_dockerfiles_finds_nothing() -> None:
    assert complaints(tool("hadolint"), RECIPE) == ""


def test_the_linter_of_shell_scripts_finds_nothing() -> None:
    assert complaints(tool("shellcheck"), ENTRYPOINT) == ""


def test_the_base_is_pinned_and_its_python_is_one_that_the_project_supports() -> None:
    found = re.fullmatch(r"\S+/python:(\d+\.\d+\.\d+)-slim-[a-z]+", default("BASE"))
    assert found is not None
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    assert Version(found[1]) in SpecifierSet(project["requires-python"])
    assert Version(found[1]).release[:2] == sys.version_info[:2], "constraints.txt was made for it"


def test_there_is_a_stage_for_each_variant_and_the_default_is_one() -> None:
    names = {value.split()[-1] for stage in stages() for name, value in stage if name == "FROM"}
    assert {"packages-cpu", "packages-cuda"} <= names
    assert default("VARIANT") == "cpu"


def test_every_package_that_is_installed_is_pinned() -> None:
    runs = [value for stage in stages() for name, value in stage if name == "RUN"]
    installs = [one for run in runs for one in run.split("&&") if "pip" in one and "install" in one]
    assert len(installs) == 4
    for install in installs:
        is_ours = "--no-deps --editable ." in install
        assert is_ours or "--constraint constraints.txt" in install


def test_the_last_stage_starts_from_the_base_and_installs_nothing() -> None:
    assert of_last("FROM") == ["${BASE}"]
    assert not any(word in run for run in of_last("RUN") for word in ("apt", "pip", "curl"))


def test_it_runs_as_a_user_without_rights_whose_number_kubernetes_can_check() -> None:
    assert of_last("USER") == ["10001:10001"]


def test_its_variables_are_read_by_somebody_and_threads_sleep() -> None:
    found = variables()
    assert unknown_variables(set(found)) == set()
    assert found["OMP_WAIT_POLICY"] == "PASSIVE"
    assert found["LSNTP_ROOT"] == "/archives"


def test_what_it_runs_by_default_is_a_worker_whose_health_is_asked() -> None:
    (command,) = of_last("CMD")
    taken = parse(yaml.safe_load(command))
    assert taken["work_pool_name"] == "cpu"
    assert taken["with_healthcheck"]
    (port,) = of_last("EXPOSE")
    assert f"http://127.0.0.1:{port}/health" in of_last("HEALTHCHECK")[0]


def test_the_context_holds_what_is_copied_and_nothing_else(tmp_path: Path) -> None:
    made = ["infra/secrets/cds-key", "infra/.env", "lsntp-data/x", ".git/config", ".cdsapirc"]
    kept = ["constraints.txt", "pyproject.toml", "lsntp/__init__.py", "lsntp/presets/demo.yaml"]
    kept += [
        "tasks/ingest.py",
        "flows/ingest.py",
        "infra/automations.yaml",
        "infra/prefect.yaml",
        "infra/image/entrypoint.sh",
    ]
    for name in [*made, *kept, "lsntp/__pycache__/x.pyc", "tests/test_x.py"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    rules = [
        line
        for line in (PROJECT / ".dockerignore").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    sent = {name for name in exclude_paths(str(tmp_path), rules) if (tmp_path / name).is_file()}
    assert sent == set(kept)
    copied = [value for stage in stages() for name, value in stage if name == "COPY"]
    for one in copied:
        sources = [word for word in one.split()[:-1] if not word.startswith("--")]
        if "--from=" not in one:
            assert all(list(tmp_path.glob(source)) for source in sources), one


# --- the entry point ------------------------------------------------------------------------


def start(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("sh"), str(ENTRYPOINT), *command],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", sorted(from_files()))
def test_a_secret_in_a_file_becomes_a_variable(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET} with $dollar and 'quotes'\n")
    done = start("env", **{f"{name}_FILE": str(tmp_path / "secret")})
    assert f"{name}={SECRET} with $dollar and 'quotes'" in done.stdout.splitlines()
    assert f"{name}_FILE" not in done.stdout


def test_an_empty_file_leaves_the_variable_unset(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    done = start("env", CDSAPI_KEY_FILE=str(tmp_path / "secret"))
    assert done.returncode == 0
    assert "CDSAPI_KEY" not in done.stdout


def test_a_secret_that_is_not_there_ends_it_with_the_remedy(tmp_path: Path) -> None:
    done = start("env", CDSAPI_KEY_FILE=str(tmp_path / "none"))
    assert done.returncode == 78
    assert done.stdout == ""
    assert f"{tmp_path / 'none'} (CDSAPI_KEY_FILE)" in done.stderr


def test_other_variables_that_name_files_stay_as_they_are() -> None:
    done = start("env", AWS_SHARED_CREDENTIALS_FILE="/nowhere")
    assert "AWS_SHARED_CREDENTIALS_FILE=/nowhere" in done.stdout


def test_the_command_takes_the_place_of_the_entry_point() -> None:
    assert start("sh", "-c", "exit 7").returncode == 7


def test_every_secret_it_knows_is_read_by_somebody() -> None:
    assert unknown_variables(from_files()) == set()
    assert {name for name in our_variables() if name.endswith("_WEBHOOK")} <= from_files()


# --- the health check -----------------------------------------------------------------------


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server on loopback that answers everything with one status; its port."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "is_healthy"), [(200, True), (503, False)])
def test_the_health_check_believes_the_worker(status: int, is_healthy: bool) -> None:
    (check,) = of_last("HEALTHCHECK")
    command = yaml.safe_load(check[check.index("[") :])
    with answering(status) as port:
        words = [sys.executable, *command[1:-1], command[-1].replace("8080", str(port))]
        done = subprocess.run(words, capture_output=True, check=False)
    assert (done.returncode == 0) == is_healthy


# --- the recipe, step by step, where no engine is --------------------------------------------


@pytest.mark.slow
def test_the_steps_of_the_recipe_make_an_environment_that_works(tmp_path: Path) -> None:
    environment, app = tmp_path / "environment", tmp_path / "app"
    app.mkdir()
    inside = {"/opt/lsntp": str(environment), "/app": str(app)}
    steps = [step for stage in stages()[1:-1] if "cuda" not in stage[0][1] for step in stage]
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    for instruction, value in steps:
        if instruction == "COPY":
            *sources, target = value.split()
            for source in (path for name in sources for path in PROJECT.glob(name)):
                into = app / target if target.endswith("/") else (app / target).parent
                into.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, app / target, dirs_exist_ok=True)
                else:
                    shutil.copy(source, into)
        elif instruction == "RUN":
            for there, here in inside.items():
                value = value.replace(there, here)
            # The registry of the CPU builds may be out of reach; the configured one has torch too.
            value = value.replace('--index-url "${TORCH_INDEX}"', "")
            done = subprocess.run(
                ["sh", "-c", value], cwd=app, env=kept, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{value}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert not (environment / "bin" / "pip").exists()
    for command in (["lsntp", "--help"], ["prefect", "version"], ["dask", "--version"]):
        done = subprocess.run(
            [environment / "bin" / command[0], *command[1:]],
            cwd=app,
            env=kept | {"HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path / "prefect")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    says = "import flows.deployment.plan as p; print(p.AUTOMATIONS_FILE, p.PREFECT_FILE.exists())"
    done = subprocess.run(
        [environment / "bin" / "python", "-c", says],
        cwd="/",
        env=kept,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(app / "infra" / "automations.yaml"), "True"]
