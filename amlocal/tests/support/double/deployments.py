"""ARM deployments: of this repository's Bicep at subscription level, of MLClient's template for a workspace.

No template is evaluated. What comes of one is written down here, for the two templates there are, by their parameters;
a test holds the names of the outputs equal to those of infra/main.bicep.
"""

import hashlib
from typing import TYPE_CHECKING, Any

from .arm import ML, Id, Resource, now
from .web import Refusal, Request, Response
from .workspace import guid

if TYPE_CHECKING:
    from . import Double

SUBSCRIPTION = "/subscriptions/{subscription}/providers/Microsoft.Resources/deployments/{name}"
GROUP = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{name}"
OPERATIONS = "Please see https://aka.ms/arm-deployment-operations for usage details."


class Deployments:
    """`refusal = (code, message)` fails the next deployments, as a policy or a quota would."""

    def __init__(self, double: "Double") -> None:
        self.double = double
        self.refusal: tuple[str, str] | None = None
        self.done: dict[str, Resource] = {}
        for place in (SUBSCRIPTION, GROUP):
            double.route("PUT", place)(self.put)
            double.route("GET", place)(self.get)
            double.route("GET", place.replace("providers/Microsoft.Resources/", "") + "/operations")(self.operations)
            double.route("POST", place + "/validate")(self.validate)
            double.route("POST", place + "/whatIf")(self.what_if)

    # -- what a template comes to ------------------------------------------------------------------------------------

    def plan(self, request: Request) -> tuple[list[tuple[str, Resource]], dict[str, Any]]:
        """The resources a deployment makes, as (id, body) in order, and its outputs."""
        sent = request.body["properties"].get("parameters") or {}
        given = {name: one.get("value") for name, one in sent.items()}
        if "/resourcegroups/" in request.path.lower():
            return self.plan_workspace(request, given)
        return self.plan_project(request, given)

    def plan_workspace(
        self, request: Request, given: dict[str, Any]
    ) -> tuple[list[tuple[str, Resource]], dict[str, Any]]:
        scope = Id(request.path).scope + "/providers/"
        storage = f"{scope}Microsoft.Storage/storageAccounts/{given['storageAccountName']}"
        vault = f"{scope}Microsoft.KeyVault/vaults/{given['keyVaultName']}"
        logs = f"{scope}Microsoft.OperationalInsights/workspaces/{given['logAnalyticsName']}"
        insights = f"{scope}Microsoft.Insights/components/{given['applicationInsightsName']}"
        workspace = {
            "location": given["location"],
            "tags": given.get("tagValues") or {},
            "kind": given.get("kind") or "Default",
            "properties": {
                "friendlyName": given.get("friendlyName"),
                "description": given.get("description"),
                "storageAccount": storage,
                "keyVault": vault,
                "applicationInsights": insights,
                "systemDatastoresAuthMode": given.get("systemDatastoresAuthMode") or "accesskey",
            },
        }
        return [
            (storage, {}),
            (vault, {}),
            (logs, {}),
            (insights, {"properties": {"WorkspaceResourceId": logs}}),
            (f"{scope}{ML}/workspaces/{given['workspaceName']}", workspace),
        ], {}

    def plan_project(
        self, request: Request, given: dict[str, Any]
    ) -> tuple[list[tuple[str, Resource]], dict[str, Any]]:
        name = given.get("name") or "digits"
        location = given.get("location") or request.body.get("location") or self.double.location
        seed = f"{self.double.subscription}{name}{location}"
        suffix = given.get("suffix") or hashlib.sha256(seed.encode()).hexdigest()[:13]
        group = f"/subscriptions/{self.double.subscription}/resourceGroups/rg-{name}"
        scope = group + "/providers/"
        place = {"location": location, "tags": {"project": name}}
        storage = f"{scope}Microsoft.Storage/storageAccounts/st{name}{suffix}"
        vault = f"{scope}Microsoft.KeyVault/vaults/kv-{name}-{suffix}"
        registry = f"{scope}Microsoft.ContainerRegistry/registries/cr{name}{suffix}"
        logs = f"{scope}Microsoft.OperationalInsights/workspaces/log-{name}"
        insights = f"{scope}Microsoft.Insights/components/appi-{name}"
        workspace = f"{scope}{ML}/workspaces/mlw-{name}"
        identity = f"{scope}Microsoft.ManagedIdentity/userAssignedIdentities/id-{name}-jobs"
        cluster = {
            "computeType": "AmlCompute",
            "properties": {
                "vmSize": given.get("vmSize") or "Standard_D2as_v4",
                "vmPriority": "Dedicated",
                "scaleSettings": {
                    "minNodeCount": 0,
                    "maxNodeCount": int(given.get("maxNodes") or 1),
                    "nodeIdleTimeBeforeScaleDown": f"PT{given.get('idleSeconds') or 180}S",
                },
            },
        }
        parts = {
            "storageAccount": storage,
            "keyVault": vault,
            "containerRegistry": registry,
            "applicationInsights": insights,
            "systemDatastoresAuthMode": "identity",
        }
        resources: list[tuple[str, Resource]] = [(group, place)]
        client = infra = ""
        if given.get("repository"):
            identities = f"/subscriptions/{self.double.subscription}/resourceGroups/rg-{name}-github"
            github = f"{identities}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-{name}-github"
            resources += [(identities, place), (github, place)]
            client = guid(github)
            if str(given.get("workflowsMayDeploy")).lower() == "true":
                deployer = github.removesuffix("github") + "infra"
                resources.append((deployer, place))
                infra = guid(deployer)
        resources += [
            (storage, place | {"properties": {"allowSharedKeyAccess": False}}),
            (
                vault,
                place
                | {
                    "properties": {"enablePurgeProtection": str(given.get("purgeProtection")).lower() == "true" or None}
                },
            ),
            (registry, place),
            (logs, place),
            (insights, place | {"properties": {"WorkspaceResourceId": logs}}),
            (identity, place | {"properties": {"principalId": guid(identity), "clientId": guid(identity + "/client")}}),
            (workspace, place | {"properties": parts}),
            (f"{workspace}/computes/cpu-cluster", {"location": location, "properties": cluster}),
        ]
        outputs = {
            "location": location,
            "resourceGroup": f"rg-{name}",
            "workspace": f"mlw-{name}",
            "compute": "cpu-cluster",
            "storageAccount": f"st{name}{suffix}",
            "keyVault": f"kv-{name}-{suffix}",
            "containerRegistry": f"cr{name}{suffix}",
            "jobsIdentity": f"id-{name}-jobs",
            "clientId": client,
            "infraClientId": infra,
        }
        return resources, {name: {"type": "String", "value": value} for name, value in outputs.items()}

    # -- what clients ask --------------------------------------------------------------------------------------------

    def put(self, request: Request, subscription: str, name: str, group: str = "") -> Response:
        resources, outputs = self.plan(request)
        error: dict[str, Any] | None = None
        made: list[str] = []
        try:
            if self.refusal:
                raise Refusal(400, *self.refusal)
            for path, body in resources:
                self.make(path, body)
                made.append(path)
        except Refusal as refusal:
            error = {
                "code": "DeploymentFailed",
                "message": "At least one resource deployment operation failed. Please list deployment operations for "
                f"details. {OPERATIONS}",
                "details": [refusal.response.body["error"]],
            }
        state = "Failed" if error else "Succeeded"
        deployment = {
            "id": request.path,
            "name": name,
            "type": "Microsoft.Resources/deployments",
            "location": request.body.get("location"),
            "properties": {
                "provisioningState": state,
                "mode": request.body["properties"].get("mode", "Incremental"),
                "parameters": request.body["properties"].get("parameters") or {},
                "timestamp": now(),
                "duration": "PT1M2.3S",
                "correlationId": guid(request.path),
                "outputs": None if error else outputs,
                "outputResources": [{"id": path} for path in made],
                "providers": [],
                "dependencies": [],
                "error": error,
            },
        }
        self.done[request.path.lower()] = deployment
        final = {"status": state} | ({"error": error} if error else {})
        running = deployment | {
            "properties": deployment["properties"] | {"provisioningState": "Accepted", "error": None}
        }
        return Response(201, running, self.double.store.start("Running", final))

    def make(self, path: str, body: Resource) -> None:
        """One resource, by way of the checks that a client's own request would meet."""
        if "/providers/" not in path:
            if path.rpartition("/")[2].lower() not in self.double.resources.groups:
                self.double.resources.create_group(path.rpartition("/")[2], body["location"])
            return
        self.double.store.make(path, body)

    def get(self, request: Request, subscription: str, name: str, group: str = "") -> Any:
        found = self.done.get(request.path.lower())
        if found is None:
            raise Refusal(404, "DeploymentNotFound", f"Deployment '{name}' could not be found.")
        return found

    def operations(self, request: Request, subscription: str, name: str, group: str = "") -> Any:
        path = (GROUP if group else SUBSCRIPTION).format(subscription=subscription, group=group, name=name).lower()
        found = self.done[path]["properties"]["outputResources"]
        return {"value": [self.operation(one["id"]) for one in found]}

    @staticmethod
    def operation(path: str) -> Any:
        place = Id(path)
        target = {"id": path, "resourceName": path.rpartition("/")[2], "resourceType": place.type}
        properties = {"provisioningState": "Succeeded", "targetResource": target, "duration": "PT1S"}
        return {"id": path, "operationId": guid(path), "properties": properties | {"provisioningOperation": "Create"}}

    def validate(self, request: Request, **_: str) -> Any:
        self.plan(request)
        return {"properties": {"provisioningState": "Succeeded", "mode": "Incremental"}}

    def what_if(self, request: Request, **_: str) -> Any:
        """Create for what is not there, NoChange for the rest."""
        resources, _outputs = self.plan(request)
        groups = self.double.resources.groups
        changes = []
        for path, body in resources:
            name = path.rpartition("/")[2].lower()
            there = self.double.store.get(path) is not None if "/providers/" in path else name in groups
            changes.append({"resourceId": path, "changeType": "NoChange" if there else "Create", "after": body})
        return {"status": "Succeeded", "properties": {"changes": changes}}
