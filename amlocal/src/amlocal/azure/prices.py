"""What machines cost, from Azure's own public price list at run time; where it says nothing, no figure is shown.

The list is the Azure Retail Prices API: no login, prices before any discount, per hour. A machine of Azure ML costs
what the virtual machine costs. learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices

Low-priority nodes ended on 2026-03-31: what is asked for as low_priority is a Spot machine, at its price of the hour
(MicrosoftDocs/azure-ai-docs#791 and #806, read on 2026-11-30).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError

ADDRESS = "https://prices.azure.com/api/retail/prices"
PATIENCE_SECONDS = 5
HOURS_A_MONTH = 730  # as azure.microsoft.com/pricing/calculator counts


@dataclass(frozen=True)
class Price:
    """Of one machine for an hour."""

    hourly: float
    currency: str

    def told(self, machines: int = 1) -> str:
        hour = machines * self.hourly
        return f"{hour:.3f} {self.currency} an hour, {hour * HOURS_A_MONTH:.2f} a month"


def price_of(size: str, location: str, low_priority: bool = False, file: Path | None = None) -> Price | None:
    """The price of a Linux machine in a region; None if the list cannot be reached or does not have it.

    low_priority: its price as Spot, at this moment. file: an answer of the API that was saved, in place of asking.
    Raises UserError if it is not one.
    """
    items = _saved(file) if file else _asked(size, location)
    return chosen(items, size, location, low_priority)


def chosen(items: Iterable[Mapping[str, Any]], size: str, location: str, low_priority: bool = False) -> Price | None:
    """The one price among a size's meters: pay as you go, Linux, of the right tier; of several the lowest."""
    found = [
        item
        for item in items
        if str(item.get("armSkuName", "")).lower() == size.lower()
        and str(item.get("armRegionName", "")).lower() == location.lower().replace(" ", "")
        and item.get("type") == "Consumption"
        and item.get("unitOfMeasure") == "1 Hour"
        and not str(item.get("productName", "")).endswith(("Windows", "CloudServices"))
        and _tier(item) == ("spot" if low_priority else "dedicated")
        and isinstance(item.get("retailPrice"), (int, float))
        and item["retailPrice"] > 0
    ]
    if not found:
        return None
    item = min(found, key=lambda item: item["retailPrice"])
    return Price(float(item["retailPrice"]), str(item.get("currencyCode") or "USD"))


def _tier(item: Mapping[str, Any]) -> str:
    """A meter's name ends in what the machine may be taken away for."""
    name = f"{item.get('skuName', '')} {item.get('meterName', '')}"
    return "spot" if "Spot" in name else "low" if "Low Priority" in name else "dedicated"


def _asked(size: str, location: str) -> list[Mapping[str, Any]]:
    import requests

    terms = ("serviceName eq 'Virtual Machines'", f"armSkuName eq '{size}'", f"armRegionName eq '{location}'")
    try:
        answer = requests.get(ADDRESS, params={"$filter": " and ".join(terms)}, timeout=PATIENCE_SECONDS)
        answer.raise_for_status()
        return list(answer.json()["Items"])
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return []


def _saved(file: Path) -> list[Mapping[str, Any]]:
    try:
        return list(json.loads(file.read_text(encoding="utf-8-sig"))["Items"])
    except FileNotFoundError:
        raise UserError(f"{file}: no such file") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f'{file}: not an answer of {ADDRESS}, {{"Items": [...]}}') from None
