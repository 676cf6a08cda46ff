"""What costs money in Azure and carries a tag: listed, and ended on request."""

from dataclasses import dataclass
from typing import Any

OVER = ("Completed", "Failed", "Canceled", "NotResponding")


@dataclass(frozen=True)
class Running:
    """One thing that is paid for."""

    kind: str
    name: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def running(azure: Any, tag: str, value: str) -> list[Running]:
    """The endpoints with deployments, and the jobs that are not over, that carry the tag; clusters that keep nodes."""
    found = []
    for endpoint in azure.online_endpoints.list():
        if (endpoint.tags or {}).get(tag) == value:
            machines = [
                f"{deployment.instance_count or 1} x {deployment.instance_type}"
                for deployment in azure.online_deployments.list(endpoint.name)
            ]
            found.append(Running("endpoint", endpoint.name, ", ".join(machines) or "no deployments, costs nothing"))
    for job in filter(None, azure.jobs.list()):  # None: one that azure-ai-ml cannot read
        if (job.tags or {}).get(tag) == value and job.status not in OVER:
            found.append(Running("job", job.name, str(getattr(job.status, "value", job.status))))
    for cluster in azure.compute.list(compute_type="AmlCompute"):
        if (cluster.tags or {}).get(tag) == value and int(cluster.min_instances or 0) > 0:
            found.append(Running("cluster", cluster.name, f"keeps {cluster.min_instances} nodes"))
    return found


def stop(azure: Any, found: list[Running]) -> None:
    """Delete endpoints (they cannot be stopped), cancel jobs, let clusters shrink to nothing. Waits for all of it."""
    pollers = []
    for each in found:
        if each.kind == "endpoint":
            pollers.append(azure.online_endpoints.begin_delete(name=each.name))
        elif each.kind == "job":
            pollers.append(azure.jobs.begin_cancel(each.name))
        else:
            cluster = azure.compute.get(each.name)
            cluster.min_instances = 0
            pollers.append(azure.compute.begin_update(cluster))
    for poller in pollers:
        poller.result()
