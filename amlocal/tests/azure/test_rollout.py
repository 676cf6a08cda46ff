"""`aml --target azure online-endpoint rollout`: the same rollout, by azure-ai-ml's real client, on the double."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from double import Double

from amlocal.azure import connection
from amlocal.cli import main


@pytest.fixture
def place(double: Double) -> str:
    """An endpoint with blue, which serves, and green."""
    place = f"{double.workspace_id}/onlineEndpoints/digits"
    body: dict[str, Any] = {"location": double.location, "properties": {"authMode": "Key"}}
    double.store.make(place, body)
    for name in ("blue", "green"):
        deployment = {"location": double.location, "sku": {"name": "Default", "capacity": 1}}
        deployment["properties"] = {"endpointComputeType": "Managed", "instanceType": "Standard_DS1_v2"}
        double.store.make(f"{place}/deployments/{name}", deployment)
    body["properties"]["traffic"] = {"blue": 100}
    double.store.make(place, body)
    double.endpoints.answer = lambda name, body: {"predictions": body["input_data"]}
    return place


@pytest.fixture
def rollout(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, Any, str]]:
    """Runs it with eight requests; exit code, result and what it said."""
    (tmp_path / "requests").mkdir()
    for number in range(8):
        (tmp_path / "requests" / f"{number}.json").write_text(json.dumps({"input_data": [number]}))
    monkeypatch.setenv("PATH", str(tmp_path))  # no az: the credentials are those of the environment
    monkeypatch.setenv("AML_TARGET", "azure")
    monkeypatch.setattr(connection, "POLLING_SECONDS", 0.05)

    def run(*words: str) -> tuple[int, Any, str]:
        line = (
            f"online-endpoint rollout -n digits --to green -r {tmp_path}/requests --probes 8 --step-seconds 0 -o json"
        )
        code = main([*line.split(), *words])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return run


def traffic(double: Double, place: str) -> tuple[dict[str, int], dict[str, int]]:
    properties = double.store.get(place)["properties"]
    shares = (properties["traffic"], properties["mirrorTraffic"])
    live, mirror = ({name: share for name, share in each.items() if share} for each in shares)
    return live, mirror


def changes(double: Double) -> list[tuple[dict[str, int], dict[str, int]]]:
    """What Azure was told of the traffic, in turn."""
    sent = [
        one.body["properties"] for one in double.requests if one.method == "PUT" and "/onlineEndpoints/" in one.path
    ]
    return [(each.get("traffic") or {}, each.get("mirrorTraffic") or {}) for each in sent]


def test_a_good_one_gets_all_the_traffic(rollout: Any, double: Double, place: str) -> None:
    code, result, err = rollout()
    assert code == 0, err
    assert result["verdict"] == "succeeded" and len(result["steps"]) == 4
    assert all(step["errors"] == {"blue": 0, "green": 0} for step in result["steps"])
    assert changes(double) == [
        ({"blue": 100}, {"green": 10}),
        ({"blue": 90, "green": 10}, {}),
        ({"blue": 50, "green": 50}, {}),
        ({"green": 100}, {}),
    ]
    asked = [request for request in double.requests if request.path == "/score"]
    assert {request.headers["azureml-model-deployment"] for request in asked} == {"blue", "green"}
    assert len(asked) == 4 * 2 * 8
    assert err.splitlines()[-2:] == [
        'To go back: aml online-endpoint update -n digits --traffic "blue=100 green=0" --target azure',
        "blue stays, with 0 %; to delete it: aml online-deployment delete -n blue -e digits --yes --target azure",
    ]


def test_what_it_says_to_type_means_the_same_endpoint(rollout: Any, double: Double, monkeypatch: Any) -> None:
    place = ["-w", double.workspace, "-g", double.resource_group, "--subscription", double.subscription]
    monkeypatch.setenv("AML_TARGET", "local")
    code, _, err = rollout("--target", "azure", *place)
    command = next(line for line in err.splitlines() if line.startswith("To go back: aml "))
    assert code == 0 and command.endswith(f" --target azure {' '.join(place)}")
    assert main(shlex.split(command.removeprefix("To go back: aml "))) == 0
    assert changes(double)[-1][0] == {"blue": 100}


def test_one_that_gets_more_instances_is_well(rollout: Any, double: Double, place: str) -> None:
    def answer(name: str, body: Any) -> Any:
        double.store.get(f"{place}/deployments/green")["properties"]["provisioningState"] = "Scaling"
        return {"predictions": body["input_data"]}

    double.endpoints.answer = answer
    assert rollout()[0] == 0


def test_a_worse_one_goes_back_from_half_of_the_traffic(rollout: Any, double: Double, place: str) -> None:
    def answer(name: str, body: Any) -> Any:
        if name == "green" and traffic(double, place)[0].get("green") == 50 and body["input_data"] == [5]:
            raise ValueError("no digits")
        return {"predictions": body["input_data"]}

    double.endpoints.answer = answer
    code, result, err = rollout()
    assert code == 1
    assert result["reason"] == "at 50 %: green failed 1 of 8 requests that blue answered; 5.json: 424 no digits"
    assert err.splitlines()[-1] == f"ERROR: digits went back to blue=100: {result['reason']}"
    assert traffic(double, place) == ({"blue": 100}, {})
    assert len(changes(double)) == 4


def test_one_that_answers_otherwise_gets_nothing(rollout: Any, double: Double, place: str) -> None:
    double.endpoints.answer = lambda name, body: {"predictions": [7] if name == "green" else body["input_data"]}
    code, result, _ = rollout()
    assert code == 1 and "green answers otherwise than blue to 7 of 8 requests (87.5 %" in result["reason"]
    assert traffic(double, place) == ({"blue": 100}, {})


def test_a_change_by_somebody_else_is_left_alone(rollout: Any, double: Double, place: str) -> None:
    def answer(name: str, body: Any) -> Any:
        if traffic(double, place)[0].get("green") == 10:
            resource = double.store.get(place)
            resource["properties"]["traffic"] = {"blue": 95, "green": 5}
        return {"predictions": body["input_data"]}

    double.endpoints.answer = answer
    code, _, err = rollout()
    assert code == 1 and "somebody else has changed its traffic to blue=95 green=5 (we had set blue=90 green=10)" in err
    assert traffic(double, place) == ({"blue": 95, "green": 5}, {})


@pytest.mark.parametrize(("good", "after"), [(True, {"green": 100}), (False, {})])
def test_the_first_gets_all_or_nothing(
    rollout: Any, double: Double, place: str, good: bool, after: dict[str, int]
) -> None:
    double.store.get(place)["properties"]["traffic"] = {}
    right = double.endpoints.answer
    double.endpoints.answer = lambda name, body: (
        right(name, body) if good or not traffic(double, place)[0] else body["nothing"]
    )
    code, result, _ = rollout()
    assert code == (0 if good else 1)
    assert [step["step"] for step in result["steps"]] == ["0 %", "100 %"]
    assert traffic(double, place) == (after, {})


def test_a_failed_one_is_refused(rollout: Any, double: Double, place: str) -> None:
    double.store.get(f"{place}/deployments/green")["properties"]["provisioningState"] = "Failed"
    code, _, err = rollout()
    assert code == 1 and "deployment green is not well: Failed; nothing was changed" in err
    assert changes(double) == []


def test_a_key_that_is_renewed_meanwhile(rollout: Any, double: Double) -> None:
    def answer(name: str, body: Any) -> Any:
        if body["input_data"] == [4]:
            double.endpoints.keys["digits"]["primaryKey"] = "digits-primary-renewed"
        return {"predictions": body["input_data"]}

    double.endpoints.answer = answer
    assert rollout()[0] == 0


def test_without_requests_it_asks_for_files(double: Double, place: str, rollout: Any, capsys: Any) -> None:
    assert main(["online-endpoint", "rollout", "-n", "digits", "--to", "green"]) == 1
    assert "ERROR: --request-file: give JSON requests" in capsys.readouterr().err


def test_what_has_a_mirror_cannot_be_deleted_until_it_is_taken_away(
    rollout: Any, double: Double, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a rollout that was killed at its first step."""
    double.store.get(place)["properties"]["mirrorTraffic"] = {"green": 10}
    delete = ["online-deployment", "delete", "-n", "green", "-e", "digits", "--yes"]
    assert main(delete) == 1 and "mirrorTraffic" in capsys.readouterr().err
    assert main(["online-endpoint", "update", "-n", "digits", "--mirror-traffic", "green=0"]) == 0
    assert traffic(double, place) == ({"blue": 100}, {})
    assert main(delete) == 0
