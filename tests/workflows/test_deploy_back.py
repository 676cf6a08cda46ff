"""`deploy.py back`, by azure-ai-ml's real client, on the double."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure_client import started
from double import Double

from amlocal.azure import connection

ROOT = Path(__file__).parents[2]


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    with started(tmp_path / "double") as double:
        yield double


@pytest.fixture
def place(double: Double) -> str:
    """An endpoint with blue, which serves, and green."""
    double.resources.usage["standardDASv4Family"] = (0, 8)  # a student's six cores hold one of them
    place = f"{double.workspace_id}/onlineEndpoints/digits"
    body: dict[str, Any] = {"location": double.location, "properties": {"authMode": "Key"}}
    double.store.make(place, body)
    for name in ("blue", "green"):
        deployment = {"location": double.location, "sku": {"name": "Default", "capacity": 1}}
        deployment["properties"] = {"endpointComputeType": "Managed", "instanceType": "Standard_D2as_v4"}
        double.store.make(f"{place}/deployments/{name}", deployment)
    body["properties"]["traffic"] = {"blue": 100}
    double.store.make(place, body)
    double.endpoints.answer = lambda name, body: {"predictions": body["input_data"]}
    return place


def traffic(double: Double, place: str) -> tuple[dict[str, int], dict[str, int]]:
    properties = double.store.get(place)["properties"]
    shares = (properties["traffic"], properties["mirrorTraffic"])
    live, mirror = ({name: share for name, share in each.items() if share} for each in shares)
    return live, mirror


@pytest.mark.parametrize("share", [0, 50, 100])
def test_a_deployment_that_was_broken_off_is_undone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, double: Double, place: str, share: int
) -> None:
    """What the workflow `deploy` does when its run is canceled."""
    monkeypatch.setenv("PATH", str(tmp_path))  # no az: the credentials are those of the environment
    monkeypatch.setenv("AML_TARGET", "azure")
    monkeypatch.setattr(connection, "POLLING_SECONDS", 0.05)
    spec = importlib.util.spec_from_file_location("deploy_back", ROOT / ".github" / "scripts" / "deploy.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    properties = double.store.get(place)["properties"]
    properties |= {"traffic": {"blue": 100 - share, "green": share}, "mirrorTraffic": {} if share else {"green": 10}}
    assert script.main(["back", "green"]) == 0
    assert traffic(double, place) == ({"blue": 100}, {})
    assert [each["name"] for each in double.store.collection(f"{place}/deployments")] == ["blue"]
    assert script.main(["back", "green"]) == 0
