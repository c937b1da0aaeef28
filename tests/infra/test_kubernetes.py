"""The manifests for Kubernetes: their schemas, and what no schema can see."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.infra.command_lines import parse
from tests.infra.files import (
    INFRA,
    POOLS,
    complaints,
    deployed_pools,
    lease_storage,
    read,
    tool,
    unknown_variables,
)

FOLDER = INFRA / "kubernetes"
KUSTOMIZATION = read("kubernetes/kustomization.yaml")
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
OBJECTS: list[dict[str, Any]] = [
    one for path in FILES for one in yaml.safe_load_all(path.read_text("utf-8"))
]


def pod_of(one: dict[str, Any]) -> dict[str, Any] | None:
    """The template of the pods that an object makes."""
    spec = one.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    return spec.get("template")


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == kind}


PODS = {one["metadata"]["name"]: pod for one in OBJECTS if (pod := pod_of(one)) is not None}
CONTAINERS = {name: pod["spec"]["containers"][0] for name, pod in PODS.items()}
DEPLOYMENTS = named("Deployment")
each_pod = pytest.mark.parametrize("name", PODS)


def chosen(selector: dict[str, Any]) -> set[str]:
    """The pods whose labels a selector takes."""
    wanted = selector.get("matchLabels", selector).items()
    return {name for name, pod in PODS.items() if wanted <= pod["metadata"]["labels"].items()}


def ports_of(name: str) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in CONTAINERS[name].get("ports", [])}


def test_every_manifest_is_what_its_schema_allows() -> None:
    assert complaints(tool("kubernetes-validate"), "--strict", *FILES) == ""


def test_kustomize_builds_them_with_images_of_one_registry() -> None:
    built = subprocess.run(
        [tool("kubectl"), "kustomize", str(FOLDER)], capture_output=True, text=True, check=True
    )
    made = list(yaml.safe_load_all(built.stdout))
    assert len(made) == len(OBJECTS)
    named_images = {f"{one['newName']}:{one['newTag']}" for one in KUSTOMIZATION["images"]}
    images = {pod["spec"]["containers"][0]["image"] for one in made if (pod := pod_of(one))}
    assert images == named_images


def test_the_kustomization_names_every_file_and_every_image() -> None:
    assert set(KUSTOMIZATION["resources"]) == {path.name for path in FILES}
    images = {one["name"] for one in KUSTOMIZATION["images"]}
    assert images == {container["image"] for container in CONTAINERS.values()}


@each_pod
def test_no_container_may_more_than_it_needs(name: str) -> None:
    pod = PODS[name]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 10001, "the user of the image"
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@each_pod
def test_every_container_says_what_it_needs_and_where_it_may_write(name: str) -> None:
    container = CONTAINERS[name]
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert mounted["tmp"] == "/tmp"
    assert set(mounted) == {one["name"] for one in PODS[name]["spec"]["volumes"]}


@each_pod
def test_every_command_is_one_that_its_program_takes(name: str) -> None:
    assert parse(CONTAINERS[name]["args"])


@each_pod
def test_every_variable_is_read_by_somebody(name: str) -> None:
    container = CONTAINERS[name]
    names = {one["name"] for one in container.get("env", [])}
    for source in container.get("envFrom", []):
        names |= set(named("ConfigMap")[source["configMapRef"]["name"]]["data"])
    assert unknown_variables(names) == set()


def test_secrets_are_only_referred_to_and_the_notes_name_them_all() -> None:
    assert not named("Secret")
    notes = (FOLDER / "settings.yaml").read_text("utf-8")
    told = dict(
        re.findall(r"^#   (lsntp-\w+) +([a-z-]+(?:, [a-z-]+)*)(?: |$)", notes, re.MULTILINE)
    )
    used: dict[str, set[str]] = {}
    for container in CONTAINERS.values():
        for one in container.get("env", []):
            if "valueFrom" in one:
                reference = one["valueFrom"]["secretKeyRef"]
                used.setdefault(reference["name"], set()).add(reference["key"])
            else:
                assert "value" in one
                assert not re.search(r"KEY|PASSWORD|SECRET|AUTH|TOKEN", one["name"])
    for pod in PODS.values():
        for volume in pod["spec"]["volumes"]:
            if "secret" in volume:
                used.setdefault(volume["secret"]["secretName"], {"credentials"})
    assert used == {name: set(keys.split(", ")) for name, keys in told.items()}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_what_runs_on_is_probed_at_a_port_that_it_has(name: str) -> None:
    container = CONTAINERS[name]
    probes = {kind: one for kind, one in container.items() if kind.endswith("Probe")}
    assert "livenessProbe" in probes
    for probe in probes.values():
        assert probe["httpGet"]["port"] in ports_of(name)
    assert DEPLOYMENTS[name]["spec"]["selector"]["matchLabels"] == {"app": name}
    assert chosen({"app": name}) == {name}


def test_services_lead_to_ports_that_exist() -> None:
    for name, service in named("Service").items():
        (pod,) = chosen(service["spec"]["selector"])
        assert pod == name
        for port in service["spec"]["ports"]:
            assert ports_of(pod)[port["targetPort"]] == port["port"]


def test_there_is_a_worker_for_every_pool() -> None:
    found = {
        name: parse(container["args"])["work_pool_name"]
        for name, container in CONTAINERS.items()
        if container["args"][:2] == ["prefect", "worker"]
    }
    assert found == {f"worker-{pool}": pool for pool in POOLS}
    assert deployed_pools() <= POOLS


def test_only_the_gpu_worker_takes_gpus_and_its_old_pod_gives_them_back_first() -> None:
    takers = {
        name
        for name, container in CONTAINERS.items()
        if "nvidia.com/gpu" in container["resources"]["limits"]
    }
    assert takers == {"worker-gpu"}
    assert CONTAINERS["worker-gpu"]["image"] == "lsntp-cuda"
    assert DEPLOYMENTS["worker-gpu"]["spec"]["strategy"] == {"type": "Recreate"}


def test_addresses_in_the_settings_are_those_of_the_services() -> None:
    settings = named("ConfigMap")["lsntp-settings"]["data"]
    port = parse(CONTAINERS["prefect-server"]["args"])["port"]
    assert settings["PREFECT_API_URL"] == f"http://prefect-server:{port}/api"
    scheduler = parse(CONTAINERS["dask-scheduler"]["args"])
    worker = parse(CONTAINERS["dask-worker"]["args"])
    assert worker["scheduler"] == f"tcp://dask-scheduler:{scheduler['port']}"
    assert int(worker["worker_port"]) == ports_of("dask-worker")["worker"]
    assert int(worker["nanny_port"]) == ports_of("dask-worker")["nanny"]
    assert {"prefect-server", "dask-scheduler"} <= set(named("Service"))


def test_the_server_keeps_leases_over_a_restart() -> None:
    told = {one["name"]: one.get("value") for one in CONTAINERS["prefect-server"]["env"]}
    assert told["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"] == lease_storage()
    mounted = [one["mountPath"] for one in CONTAINERS["prefect-server"]["volumeMounts"]]
    assert any(told["PREFECT_HOME"].startswith(path) for path in mounted)
    (volume,) = (one for one in PODS["prefect-server"]["spec"]["volumes"] if one["name"] == "state")
    assert volume["persistentVolumeClaim"]["claimName"] in named("PersistentVolumeClaim")


def test_budgets_of_disruptions_protect_pods_of_which_there_are_more() -> None:
    for budget in named("PodDisruptionBudget").values():
        (name,) = chosen(budget["spec"]["selector"])
        assert DEPLOYMENTS[name]["spec"]["replicas"] > budget["spec"]["minAvailable"]


def test_nothing_talks_unless_a_policy_lets_it() -> None:
    policies = named("NetworkPolicy")
    default = policies["nothing-by-default"]["spec"]
    assert default == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in policies.values():
        spec = policy["spec"]
        assert chosen(spec["podSelector"])
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            for peer in [*rule.get("from", []), *rule.get("to", [])]:
                assert "podSelector" not in peer or chosen(peer["podSelector"])


@pytest.mark.parametrize(
    ("caller", "target"),
    [
        ("worker-cpu", "prefect-server"),
        ("worker-gpu", "prefect-server"),
        ("deploy", "prefect-server"),
        ("health", "prefect-server"),
        ("worker-cpu", "dask-scheduler"),
        ("dask-worker", "dask-scheduler"),
        ("dask-scheduler", "dask-worker"),
        ("dask-worker", "dask-worker"),
    ],
)
def test_whoever_must_talk_may_on_both_sides(caller: str, target: str) -> None:
    assert allowed(caller, target, "egress") & allowed(target, caller, "ingress")


@pytest.mark.parametrize(
    ("caller", "target"),
    [
        ("dask-worker", "prefect-server"),
        ("prefect-server", "worker-cpu"),
        ("prefect-server", "dask-scheduler"),
        ("worker-cpu", "dask-worker"),
    ],
)
def test_nobody_else_may(caller: str, target: str) -> None:
    assert not allowed(caller, target, "egress") & allowed(target, caller, "ingress")


def allowed(whose: str, other: str, direction: str) -> set[int]:
    """The ports on which policies of one pod let it talk with another."""
    side = {"egress": "to", "ingress": "from"}[direction]
    found: set[int] = set()
    for policy in named("NetworkPolicy").values():
        if whose not in chosen(policy["spec"]["podSelector"]):
            continue
        for rule in policy["spec"].get(direction, []):
            peers = (peer["podSelector"] for peer in rule[side] if "podSelector" in peer)
            if any(other in chosen(peer) for peer in peers):
                found |= {port["port"] for port in rule["ports"]}
    target = other if direction == "egress" else whose
    return found & set(ports_of(target).values())
