"""The double of Azure answers a deployment with the outputs that main.bicep declares."""

import re
from pathlib import Path

import requests
from azure_client import started

BICEP = Path(__file__).parents[2] / "infra" / "main.bicep"


def test_a_deployment_answers_with_the_outputs_of_the_bicep(tmp_path: Path) -> None:
    body = {
        "location": "westeurope",
        "properties": {"mode": "Incremental", "parameters": {"name": {"value": "second"}}},
    }
    with started(tmp_path / "double") as double:
        place = f"{double.url}/subscriptions/{double.subscription}/providers/Microsoft.Resources/deployments/digits"
        operation = requests.put(place, json=body, timeout=10).headers["Azure-AsyncOperation"]
        states = [requests.get(operation, timeout=10).json()["status"] for _ in range(2)]
        assert states == ["Running", "Succeeded"]
        outputs = requests.get(place, timeout=10).json()["properties"]["outputs"]
    assert list(outputs) == re.findall(r"^output (\w+)", BICEP.read_text(encoding="utf-8"), re.MULTILINE)
