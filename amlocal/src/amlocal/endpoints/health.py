"""Whether an endpoint serves, from the processes that live in this moment; nothing here asks anybody."""

import time
from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError
from amlocal.core.files import read_json
from amlocal.core.processes import find
from amlocal.endpoints import supervisor
from amlocal.endpoints.store import Deployment, Endpoint, EndpointStore

START_SECONDS = 300.0  # the machine may be busy


def endpoint_health(store: EndpointStore, endpoint: Endpoint) -> dict[str, Any]:
    """{"status", "message", "gateway", "supervisor"}; status: Healthy, Degraded, Unhealthy or Stopped."""
    gateway = process_state(store.run(endpoint.name), "gateway")
    supervised = supervisor.running(store.workspace) is not None
    deployments = {
        name: deployment_health(store, endpoint, name, deployment) for name, deployment in endpoint.deployments.items()
    }
    status, message = "Healthy", None
    ill = [name for name, health in deployments.items() if health["status"] != "Healthy"]
    silent = [name for name in ill if endpoint.traffic.get(name) and not deployments[name]["ready_instances"]]
    if not supervised and gateway != "running" and not any(each["ready_instances"] for each in deployments.values()):
        status, message = "Stopped", "nothing of it runs; `aml up` starts it"
    elif gateway != "running":
        status, message = "Unhealthy", failure(store.run(endpoint.name), "gateway") or f"its gateway is {gateway}"
    elif silent:
        status, message = "Unhealthy", f"deployment {silent[0]}: {deployments[silent[0]]['message']}"
    elif ill:
        status, message = "Degraded", f"deployment {ill[0]}: {deployments[ill[0]]['message']}"
    elif not supervised:
        status, message = "Degraded", "its supervisor has died, so nothing restarts what dies; `aml up` starts one"
    return {
        "status": status,
        "message": message,
        "gateway": gateway,
        "supervisor": "running" if supervised else "not running",
    }


def deployment_health(store: EndpointStore, endpoint: Endpoint, name: str, deployment: Deployment) -> dict[str, Any]:
    """{"status", "message", "instances", "ready_instances", "restarts", "last_exit"}; last_exit: who died, and how."""
    run = store.run(endpoint.name)
    plan = deployment.plans[-1] if deployment.plans else None
    processes = plan.processes(name) if plan else []
    ready = sum(process_state(run, process) == "running" for process in processes)
    status, message = "Healthy", None
    if deployment.error:
        message = deployment.error
    elif ready < len(processes):
        ill = [process for process in processes if process_state(run, process) != "running"]
        reasons = [reason for process in ill if (reason := failure(run, process))]
        message = reasons[0] if reasons else f"{ready} of {len(processes)} instances are ready"
        if not reasons and (death := _last_death(run, ill)):
            message += f": {death}"
    if not ready:
        status = "Unhealthy"
    elif ready < len(processes):
        status = "Degraded"
    return {
        "status": status,
        "message": message,
        "instances": len(processes),
        "ready_instances": ready,
        "restarts": sum(restarts(run, process) for process in processes),
        "last_exit": _last_death(run, processes),
    }


def process_state(run: Path, process: str) -> str:
    """`running` when it serves, `starting` when it lives, else `not running`."""
    if find(run / f"{process}.json") is None:
        return "not running"
    return "running" if (run / f"{process}.ready").exists() else "starting"


def failure(run: Path, process: str) -> str | None:
    """What a process said before it gave up."""
    try:
        return (run / f"{process}.failed").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def restarts(run: Path, process: str) -> int:
    """How often the supervisor had to start a process again."""
    return _on_record(run, process).get("restarts", 0)


def last_exit(run: Path, process: str) -> str | None:
    """How a process ended the last time: `was killed by SIGSEGV`, `exited with code 3`."""
    return _on_record(run, process).get("last_exit")


def _on_record(run: Path, process: str) -> dict[str, Any]:
    try:
        record = read_json(run / f"{process}.json")
    except (OSError, UserError):
        return {}
    return record if isinstance(record, dict) else {}


def _last_death(run: Path, processes: list[str]) -> str | None:
    return next((f"{process} {how}" for process in processes if (how := last_exit(run, process))), None)


def wait_for_gateway(store: EndpointStore, name: str) -> None:
    """Return when the endpoint's gateway serves. Raises UserError with its reason when it cannot."""
    wait_for_process(store, name, "gateway")


def wait_for_process(store: EndpointStore, name: str, process: str) -> None:
    run = store.run(name)
    deadline = time.monotonic() + START_SECONDS
    while process_state(run, process) != "running":
        if reason := failure(run, process):
            raise UserError(f"endpoint {name}: {reason}")
        if time.monotonic() > deadline:
            raise UserError(
                f"endpoint {name}: {process} did not start in {START_SECONDS:.0f} s; see {run.parent / 'logs'}"
            )
        time.sleep(0.02)
