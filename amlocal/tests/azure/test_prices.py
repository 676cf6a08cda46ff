"""Which of a size's meters is its price; and no figure where there is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from amlocal.azure import prices
from amlocal.azure.prices import chosen, price_of
from amlocal.core.errors import UserError


def meter(price: float, **more: Any) -> dict[str, Any]:
    """One item of an answer, as the API gives it."""
    return {
        "currencyCode": "USD",
        "retailPrice": price,
        "armRegionName": "westeurope",
        "meterName": "F4s v2",
        "skuName": "F4s v2",
        "productName": "Virtual Machines FSv2 Series",
        "serviceName": "Virtual Machines",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "armSkuName": "Standard_F4s_v2",
        **more,
    }


METERS = [
    meter(0.4, productName="Virtual Machines FSv2 Series Windows"),
    meter(0.2),
    meter(0.05, skuName="F4s v2 Low Priority", meterName="F4s v2 Low Priority"),
    meter(0.03, skuName="F4s v2 Spot", meterName="F4s v2 Spot"),
    meter(1000.0, type="Reservation"),
    meter(0.1, type="DevTestConsumption"),
    meter(0.01, armRegionName="centralindia"),
    meter(0.02, armSkuName="Standard_F2s_v2"),
    meter(0.0),
]


def test_linux_pay_as_you_go() -> None:
    price = chosen(METERS, "standard_f4s_v2", "West Europe")
    assert price is not None and (price.hourly, price.currency) == (0.2, "USD")
    assert price.told() == "0.200 USD an hour, 146.00 a month"
    assert price.told(3) == "0.600 USD an hour, 438.00 a month"


def test_low_priority_nodes_cost_what_spot_machines_cost() -> None:
    price = chosen(METERS, "Standard_F4s_v2", "westeurope", low_priority=True)
    assert price is not None and price.hourly == 0.03


def test_what_is_not_listed_has_no_price() -> None:
    assert chosen(METERS, "Standard_F4s_v2", "northeurope") is None
    assert chosen([], "Standard_F4s_v2", "westeurope") is None


def test_a_saved_answer(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"Items": METERS}))
    price = price_of("Standard_F4s_v2", "westeurope", file=file)
    assert price is not None and price.hourly == 0.2
    file.write_text("[]")
    with pytest.raises(UserError, match=r"prices\.json: not an answer of https://prices\.azure\.com"):
        price_of("Standard_F4s_v2", "westeurope", file=file)
    with pytest.raises(UserError, match="no such file"):
        price_of("Standard_F4s_v2", "westeurope", file=tmp_path / "nothing")


def test_a_list_that_cannot_be_reached_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "ADDRESS", "http://127.0.0.1:9/nobody-listens")
    assert price_of("Standard_F4s_v2", "westeurope") is None
