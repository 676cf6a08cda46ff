"""`client.online_deployments`: MLClient's operations on the deployments of an endpoint."""

import logging
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from amlocal.assets import uris
from amlocal.core.errors import NotFound, UserError
from amlocal.core.processes import end, find
from amlocal.core.workspace import Workspace
from amlocal.endpoints import supervisor
from amlocal.endpoints.health import (
    deployment_health,
    failure,
    last_exit,
    process_state,
    restarts,
)
from amlocal.endpoints.logs import tail
from amlocal.endpoints.store import Deployment, Endpoint, EndpointStore, ServingPlan
from amlocal.operations import rest, service
from amlocal.operations.common import ENDPOINT_NAMES, Operations, Poller, missing

START_SECONDS = 600.0  # a script may load a large model; one that fails says so long before
ANSWER_SECONDS = 30.0  # a gateway that has not answered so long after its deployment's time was up never will
MOST_DEPLOYMENTS = 20
TOO_MANY_DEATHS = 2


class OnlineDeploymentOperations(Operations):
    """`client.online_deployments`"""

    takes = ("OnlineDeployment",)
    any_case = ENDPOINT_NAMES

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.store = EndpointStore(workspace)

    def begin_create_or_update(
        self, deployment: Any, *, local: bool = False, vscode_debug: bool = False, **_: Any
    ) -> Poller:
        """Create a deployment or replace it; returns when all its instances are ready.

        vscode_debug: its one worker waits until an editor has attached, before it loads the script.

        A replaced deployment serves until the new one is ready, and goes on serving if that fails.
        Raises UserError when the deployment is not sound or its script does not load.
        """
        from amlocal.endpoints.plan import check_name, resolve

        name = check_name("deployment", deployment.name)
        if deployment.endpoint_name:  # or an endpoint's id
            deployment.endpoint_name = uris.name_in(str(deployment.endpoint_name))
        deployment.endpoint_name = check_name("endpoint", deployment.endpoint_name)
        endpoint = self.store.get(deployment.endpoint_name)
        before = endpoint.deployments.get(name)
        if before is None and len(endpoint.deployments) >= MOST_DEPLOYMENTS:
            raise UserError(
                f"endpoint {endpoint.name}: it has {MOST_DEPLOYMENTS} deployments, the most that Azure allows"
            )
        with self.workspace.lock(f"deployment-{endpoint.name}-{name}", timeout=START_SECONDS):
            revision = self._last_revision(self.store.get(endpoint.name), name) + 1
            plan = resolve(deployment, revision, self.workspace, vscode_debug)
            self._roll_out(endpoint.name, name, _deployment_spec(deployment), plan)
        return Poller(self.get(name, endpoint.name))

    def _last_revision(self, endpoint: Endpoint, name: str) -> int:
        folder = self.store.folder(endpoint.name) / "deployments" / name
        return max(endpoint.revisions.get(name, 0), *(int(path.name) for path in folder.glob("[0-9]*")), 0)

    def _roll_out(self, endpoint: str, name: str, spec: dict[str, Any], plan: ServingPlan) -> None:
        """Run `plan` beside what runs; when it is ready it alone, and when it fails what ran before."""
        old = self.store.get(endpoint).deployments.get(name)
        serving = old.plans[:1] if old else []  # a second is what an update left that did not come to its end
        self._put(endpoint, name, Deployment(spec, "Updating" if serving else "Creating", [*serving, plan]))
        try:
            supervisor.ensure(self.workspace)
            self._wait_until_ready(endpoint, name, plan)
        except BaseException as error:
            if old is None or not serving:
                self._put(endpoint, name, Deployment(spec, "Failed", [], str(error) or type(error).__name__))
                raise
            self._put(endpoint, name, Deployment(old.spec, "Succeeded", serving))
            if isinstance(error, UserError):
                raise UserError(f"{error}; the deployment serves on as it was") from error
            raise
        self._put(endpoint, name, Deployment(spec, "Succeeded", [plan]))
        self._forget_revisions(endpoint, name, plan.revision)

    def _put(self, endpoint: str, name: str, deployment: Deployment) -> None:
        self.store.change(endpoint, lambda record: record.deployments.update({name: deployment}))

    def _wait_until_ready(self, endpoint: str, name: str, plan: ServingPlan) -> None:
        run = self.store.run(endpoint)
        logs = f"aml online-deployment get-logs --name {name} --endpoint-name {endpoint}"
        deadline = time.monotonic() + START_SECONDS
        waiting = None
        while True:
            if plan.debug and (waiting := self._tell_debugger(name, plan, waiting)):
                deadline = time.monotonic() + START_SECONDS  # somebody sets breakpoints
            states = [process_state(run, process) for process in plan.processes(name)]
            if all(state == "running" for state in states) and process_state(run, "gateway") == "running":
                return
            if reason := failure(run, "gateway"):
                raise UserError(f"endpoint {endpoint}: {reason}")
            for process in plan.processes(name):
                if reason := failure(run, process):
                    script = Path(plan.folder, "code", plan.entry_script).name
                    raise UserError(f"deployment {name}: scoring script {script}: {_one_line(reason)}; see `{logs}`")
                if restarts(run, process) >= TOO_MANY_DEATHS:
                    raise UserError(
                        f"deployment {name}: its process dies again and again while it starts:"
                        f" {process} {last_exit(run, process)}; see `{logs}`"
                    )
            if time.monotonic() > deadline:
                raise UserError(f"deployment {name}: not ready after {START_SECONDS:.0f} s; see `{logs}`")
            time.sleep(0.02)

    def _tell_debugger(self, name: str, plan: ServingPlan, told: Any) -> Any:
        """Say once where the worker waits; returns that, as far as it is known."""
        from amlocal.environments.debugger import waiting

        found = waiting(Path(plan.folder))
        if found and found != told:
            logging.getLogger(__name__).warning(
                "Deployment %s waits for a debugger at %s:%d; attach your editor there, and it loads its script",
                name,
                found.host,
                found.port,
            )
        return found

    def _forget_revisions(self, endpoint: str, name: str, latest: int) -> None:
        """Remove the files of revisions that nobody runs any more; the one before may be at its last requests."""
        for folder in (self.store.folder(endpoint) / "deployments" / name).glob("[0-9]*"):
            if int(folder.name) < latest - 1:
                shutil.rmtree(folder, ignore_errors=True)

    def get(self, name: str, endpoint_name: str, *, local: bool | None = False) -> Any:
        try:
            deployment = self.store.deployment(name, endpoint_name)
        except NotFound as error:
            raise missing(error) from error
        return self._entity(self.store.get(endpoint_name), name, deployment)

    def _entity(self, endpoint: Endpoint, name: str, deployment: Deployment) -> Any:
        return rest.entity("online deployment", self._describe(endpoint, name, deployment))

    def list(self, endpoint_name: str, *, local: bool = False) -> Iterator[Any]:
        for name in self.store.get(endpoint_name).deployments:
            yield self.get(name, endpoint_name)

    def describe(self, name: str, endpoint_name: str) -> dict[str, Any]:
        deployment = self.store.deployment(name, endpoint_name)
        return self._describe(self.store.get(endpoint_name), name, deployment)

    def describe_all(self, endpoint_name: str) -> Sequence[dict[str, Any]]:
        endpoint = self.store.get(endpoint_name)
        return [self._describe(endpoint, name, deployment) for name, deployment in endpoint.deployments.items()]

    def begin_delete(self, name: str, endpoint_name: str, *, local: bool | None = False) -> Poller:
        """End and remove a deployment; one that is not there is no error. Raises UserError while it has traffic.

        Both as on Azure, which answers 204, and 400.
        """

        def apply(endpoint: Endpoint) -> None:
            for kind in ("traffic", "mirror_traffic"):
                if share := endpoint.spec[kind].pop(name, 0):
                    raise UserError(
                        f"deployment {name}: it gets {share} % of the {kind.replace('_', ' ')} of {endpoint_name};"
                        f" first send that elsewhere: aml online-endpoint update -n {endpoint_name} --traffic NAME=100"
                    )
            endpoint.revisions[name] = self._last_revision(endpoint, name)
            del endpoint.deployments[name]

        try:
            self.store.deployment(name, endpoint_name)
            with self.workspace.lock(f"deployment-{endpoint_name}-{name}", timeout=START_SECONDS):
                plans = self.store.deployment(name, endpoint_name).plans
                self.store.change(endpoint_name, apply)
                self._remove(endpoint_name, name, plans)
        except NotFound:
            return Poller(None)
        return Poller(None)

    def _remove(self, endpoint: str, name: str, plans: Sequence[ServingPlan]) -> None:
        """Wait until nothing of a deployment runs any more, also of revisions that failed, and remove its files."""
        deadline = time.monotonic()
        if plans:  # their last requests may be under way
            deadline += max(plan.patience for plan in plans) + supervisor.GRACE_SECONDS
        while processes := [process for mark in self._marks(endpoint, name) if (process := find(mark))]:
            if time.monotonic() > deadline or not supervisor.running(self.workspace):
                end(processes)
            time.sleep(0.02)
        for mark in self._marks(endpoint, name):
            mark.unlink(missing_ok=True)
        shutil.rmtree(self.store.folder(endpoint) / "deployments" / name, ignore_errors=True)

    def _marks(self, endpoint: str, name: str) -> Sequence[Path]:
        """What the processes of all of a deployment's revisions have left in the run folder."""
        process = re.compile(re.escape(name) + r"-\d+-\d+")
        return [path for path in self.store.run(endpoint).glob("*") if process.fullmatch(path.stem)]

    def get_logs(
        self,
        name: str,
        endpoint_name: str,
        lines: int = 5000,
        *,
        container_type: str | None = None,
        local: bool = False,
    ) -> str:
        """The last `lines` lines of what the deployment's processes have printed, and what they were built with."""
        self.store.deployment(name, endpoint_name)
        return tail(self.store.log(endpoint_name, name), lines)

    def _describe(self, endpoint: Endpoint, name: str, deployment: Deployment) -> dict[str, Any]:
        return {
            **service.online_deployment(self.workspace, endpoint.name, name, deployment.spec),
            "health": deployment_health(self.store, endpoint, name, deployment),
            "provisioning_state": deployment.state,
        }


def _deployment_spec(deployment: Any) -> dict[str, Any]:
    """The spec as `az ml` shows it, with absolute paths, so that it can be loaded again from anywhere."""
    spec = deployment._to_dict()
    base = Path(deployment.base_path or ".")
    spec.pop("$schema", None)
    model, environment = deployment.model, deployment.environment
    if reference := _registered(model):
        spec["model"] = reference
    elif model is not None:
        spec["model"] = {"path": uris.written(str(model.path), base), "type": model.type}
    if reference := _registered(environment):
        spec["environment"] = reference
    elif environment is not None and environment.build:
        spec["environment"]["build"]["path"] = str((base / environment.build.path).resolve())
    if code := spec.get("code_configuration", {}).get("code"):
        spec["code_configuration"]["code"] = str((base / code).resolve())
    return spec


def _registered(asset: Any) -> str | None:
    """The reference to an asset of the workspace, given by it or as the asset itself; None for one that is not."""
    reference = asset if isinstance(asset, str) else getattr(asset, "id", None)
    return f"azureml:{reference.removeprefix('azureml:')}" if reference else None


def _one_line(text: str) -> str:
    return " ".join(text.split())
