"""What Azure tells of a subscription: usage, sizes, allowed regions; and what a file would need of them."""

from functools import cached_property
from pathlib import Path
from typing import Any

from amlocal.azure.quota import Limit, Need, Size, limits_of, sizes_of
from amlocal.core.errors import UserError

POLICIES = "2022-06-01"


class Subscription:
    """One subscription as an MLClient sees it. `location` None: the workspace's."""

    def __init__(self, client: Any, location: str | None = None) -> None:
        self.client = client
        self._location = location

    @cached_property
    def location(self) -> str:
        return self._location or str(self.client.workspaces.get(self.client.workspace_name).location)

    def limits(self) -> list[Limit]:
        # Its entities leave current_value empty; what Azure said stands in their __dict__.
        return limits_of(vars(usage) for usage in self.client.compute.list_usage(location=self.location))

    @cached_property
    def sizes(self) -> list[Size]:
        return sizes_of(vars(size) for size in self.client.compute.list_sizes(location=self.location))

    def size(self, name: str) -> Size:
        """Raises UserError for a size that the region does not offer."""
        for size in self.sizes:
            if size.name.lower() == name.lower():
                return size
        raise UserError(f"{name}: no such size in {self.location}; `az ml compute list-sizes -o table` lists them")

    def allowed_locations(self) -> list[str] | None:
        """The regions that a policy leaves, as Azure for Students has one; None if there is no such policy.

        The policy's parameter is called listOfAllowedLocations, or nearly so.
        """
        from amlocal.azure.arm import get

        path = f"/subscriptions/{self.client.subscription_id}/providers/Microsoft.Authorization/policyAssignments"
        allowed: list[str] | None = None
        # Of the subscription and what is above it; not of single groups.
        for assignment in get(self.client, path, POLICIES, **{"$filter": "atScope()"}).get("value", []):
            for name, parameter in (assignment.get("properties", {}).get("parameters") or {}).items():
                value = parameter.get("value")
                if "allowedlocations" in name.lower() and isinstance(value, list):
                    places = [str(place).lower().replace(" ", "") for place in value]
                    allowed = places if allowed is None else [place for place in allowed if place in places]
        return allowed


def need_of(subscription: Subscription, file: Path | None, instance_type: str | None, count: int | None) -> Need:
    """What a deployment's, a compute's or a job's file needs; the flags win over it. Raises UserError."""
    if file is None:
        return Need(subscription.size(str(instance_type)), count or 1, managed=True)
    from amlocal.specs.load import read_document

    spec = read_document(file)
    if not isinstance(spec, dict):
        raise UserError(f"{file}: not the specification of anything")
    if "endpoint_name" in spec:
        size = instance_type or spec.get("instance_type")
        if not size:
            raise UserError(f"{file}: instance_type is required; it is what the quota is counted by")
        return Need(subscription.size(str(size)), count or int(spec.get("instance_count") or 1), managed=True)
    if "size" in spec:
        low = str(spec.get("tier")).lower().replace("_", "") == "lowpriority"
        size = subscription.size(instance_type or str(spec["size"]))
        return Need(size, count or int(spec.get("max_instances") or 1), managed=False, low_priority=low)
    compute = (spec.get("settings") or {}).get("default_compute") or spec.get("compute")
    if not compute:
        raise UserError(f"{file}: neither a deployment (endpoint_name), a compute (size) nor a job (compute)")
    cluster = subscription.client.compute.get(str(compute).removeprefix("azureml:"))
    if str(getattr(cluster, "type", "")).lower() != "amlcompute":
        raise UserError(f"{file}: compute {cluster.name} is not a cluster, so its cores are not counted here")
    nodes = count or int((spec.get("resources") or {}).get("instance_count") or 1)
    # A node that idles after the last job is used already, and takes the next one.
    nodes_now = map(vars, subscription.client.compute.list_nodes(cluster.name))  # in Azure's own names, as with usage
    idle = sum(node.get("nodeState", node.get("node_state")) == "idle" for node in nodes_now)
    nodes = max(0, nodes - idle)
    low = str(cluster.tier).lower().replace("_", "") == "lowpriority"
    return Need(subscription.size(instance_type or cluster.size), nodes, managed=False, low_priority=low)
