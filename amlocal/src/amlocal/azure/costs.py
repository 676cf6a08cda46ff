"""What something will cost, in a line, before it is created."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from amlocal.azure.prices import Price, price_of

Say = Callable[[str], None]


def tell_deployment(azure: Any, deployment: Any, prices: Path | None, say: Say) -> None:
    """A deployment's machines, which are paid for as long as it exists."""
    count = int(deployment.instance_count or 1)
    price = _price(azure, str(deployment.instance_type), False, prices)
    say(f"Cost: deployment {deployment.name}, {count} x {deployment.instance_type}: {_told(price, count)}.")
    say("It is paid for while it exists, asked or not: managed endpoints cannot scale to zero. Delete it when done.")


def tell_cluster(azure: Any, cluster: Any, prices: Path | None, say: Say) -> None:
    """A cluster's nodes, which are paid for while they are there."""
    if getattr(cluster, "type", "") != "amlcompute":
        return
    low = str(cluster.tier).lower().replace("_", "") == "lowpriority"
    price, least = _price(azure, str(cluster.size), low, prices), int(cluster.min_instances or 0)
    nodes = f"{least} to {cluster.max_instances} nodes"
    say(f"Cost: each of the {nodes} of {cluster.name}, {cluster.size}: {_told(price, 1)}.")
    if low:
        say(
            "low_priority nodes are Spot since 2026-03-31: this price varies, up to the price of dedicated nodes; "
            "evicted nodes and restarts are paid for."
        )
    if least:
        say(f"min_instances is {least}: so many nodes are paid for at all times, idle ones too.")


def _price(azure: Any, size: str, low_priority: bool, prices: Path | None) -> Price | None:
    location = azure.workspaces.get(azure.workspace_name).location
    return price_of(size, str(location), low_priority, prices)


def _told(price: Price | None, machines: int) -> str:
    return price.told(machines) if price else "the price list could not be asked, or does not have it"
