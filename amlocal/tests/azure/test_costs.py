"""What things cost, said before they are made, and what is this project's taken down."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from double import Double

from amlocal.azure import connection, prices
from amlocal.cli import main

PROJECT = Path(__file__).resolve().parents[1] / "project"
METER = {
    "armSkuName": "Standard_F4s_v2",
    "armRegionName": "westeurope",
    "type": "Consumption",
    "unitOfMeasure": "1 Hour",
    "currencyCode": "EUR",
    "retailPrice": 0.25,
    "productName": "Virtual Machines FSv2 Series",
    "skuName": "F4s v2",
    "meterName": "F4s v2",
}


@pytest.fixture
def aml(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Any, str]]:
    """Runs `aml --target azure` on a double whose price list knows one size."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("AML_TARGET", "azure")
    monkeypatch.setattr(connection, "POLLING_SECONDS", 0.05)
    monkeypatch.setattr(prices, "ADDRESS", f"{double.url}/api/retail/prices")

    @double.route("GET", "/api/retail/prices")
    def price_list(request: Any) -> Any:
        size = request.query["$filter"].split("armSkuName eq '")[1].split("'")[0]
        return {"BillingCurrency": "EUR", "Items": [METER] if size == METER["armSkuName"] else []}

    def run(line: str, code: int = 0) -> tuple[Any, str]:
        assert main(line.split()) == code, capsys.readouterr().err
        out, err = capsys.readouterr()
        return (json.loads(out) if out else None), err

    return run


def test_a_cluster_and_a_deployment_tell_their_price_first(aml: Callable[..., tuple[Any, str]]) -> None:
    _, err = aml("compute create -f aml/compute/cpu-cluster.yml")
    price = "0.250 EUR an hour, 182.50 a month"
    assert f"Cost: each of the 0 to 1 nodes of cpu-cluster, Standard_F4s_v2: {price}." in err
    assert "min_instances" not in err
    _, err = aml("compute create -f aml/compute/cpu-cluster.yml", code=1)
    assert "compute cpu-cluster exists already" in err  # which Azure would replace by another
    _, err = aml("compute create -f aml/compute/cpu-cluster.yml --name kept --min-instances 1")
    assert "min_instances is 1: so many nodes are paid for at all times" in err and "Spot" not in err
    _, err = aml("compute create -f aml/compute/cpu-cluster.yml --name cheap --tier low_priority")
    assert f"cheap, Standard_F4s_v2: {price[:5]}" not in err, "the price of dedicated nodes"
    assert "low_priority nodes are Spot since 2026-03-31" in err
    aml("online-endpoint create -f aml/endpoints/digits/endpoint.yml")
    _, err = aml(
        "online-deployment create -f aml/endpoints/digits/blue.yml --set instance_type=Standard_F4s_v2", code=1
    )
    assert f"Cost: deployment blue, 1 x Standard_F4s_v2: {price}." in err  # before anything else, here a missing model
    assert "managed endpoints cannot scale to zero" in err


def test_without_a_price_no_figure_is_shown(aml: Callable[..., tuple[Any, str]], tmp_path: Path) -> None:
    aml("online-endpoint create -f aml/endpoints/digits/endpoint.yml")
    _, err = aml("online-deployment create -f aml/endpoints/digits/blue.yml", code=1)
    assert "1 x Standard_DS1_v2: the price list could not be asked, or does not have it." in err
    saved = tmp_path / "saved.json"
    saved.write_text(json.dumps({"Items": [METER | {"armSkuName": "Standard_DS1_v2", "retailPrice": 0.1}]}))
    _, err = aml(f"online-deployment create -f aml/endpoints/digits/blue.yml --prices {saved}", code=1)
    assert "1 x Standard_DS1_v2: 0.100 EUR an hour, 73.00 a month." in err


def test_down_takes_what_carries_the_tag_and_nothing_else(aml: Callable[..., tuple[Any, str]], double: Double) -> None:
    aml("compute create -f aml/compute/cpu-cluster.yml")
    aml("compute create -f aml/compute/cpu-cluster.yml --name kept --min-instances 1")
    aml("online-endpoint create -f aml/endpoints/digits/endpoint.yml")
    aml("online-endpoint create --name somebody-elses")
    double.jobs.script = ["Running"]
    aml("job create -f aml/pipelines/training.yml --set name=mine")
    aml("job create -f aml/pipelines/training.yml --set name=other tags.project=another")
    _, err = aml("down --tag project=digits", code=1)  # nobody is there to be asked
    assert "endpoint digits  (no deployments, costs nothing)" in err and "job mine  (Running)" in err
    assert "other" not in err and "add --yes" in err
    assert "cluster kept  (keeps 1 nodes)" in err
    assert aml("down --yes --tag project=digits")[0] == ["endpoint digits", "job mine", "cluster kept"]
    assert aml("compute show -n kept --query min_instances")[0] == 0
    assert [each["name"] for each in aml("online-endpoint list")[0]] == ["somebody-elses"]
    assert aml("job show -n mine --query status")[0] == "Canceled"
    assert aml("job show -n other --query status")[0] == "Running"
    assert aml("down --yes --tag project=digits")[0] == []


@pytest.mark.parametrize("tag", ["", " --tag project", " --tag project= --yes"])
def test_down_in_azure_wants_a_tag(aml: Callable[..., tuple[Any, str]], tag: str) -> None:
    aml("online-endpoint create --name somebody-elses")
    _, err = aml(f"down{tag}", code=1)
    assert "--tag KEY=VALUE is required with --target azure" in err
    assert [each["name"] for each in aml("online-endpoint list")[0]] == ["somebody-elses"]
