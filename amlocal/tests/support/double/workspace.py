"""Workspaces and what every workspace has: data stores, computes, versioned assets, schedules."""

import base64
import copy
import datetime
import re
import uuid
from typing import TYPE_CHECKING, Any

from . import defaults
from .arm import ML, Id, Resource, now
from .certificate import SERVICES
from .web import Refusal, Request, Response, ml_refusal

if TYPE_CHECKING:
    from . import Double

ASSETS = ("codes", "components", "data", "environments", "models")
# Where an asset's content lies. Once given, it cannot be changed.
CONTENT = {"codes": "codeUri", "data": "dataUri", "models": "modelUri"}
CONTAINER = "azureml-blobstore-digits"
SHARES = ("workspacefilestore", "workspaceworkingdirectory")
DATASTORES = {
    "workspaceblobstore": CONTAINER,
    "workspacefilestore": "azureml-filestore-digits",
    "workspaceartifactstore": "azureml",
    "workspaceworkingdirectory": "code-digits",
}
# What a schedule does not say of its job when that is one of the workspace's.
FROM_ITS_SOURCE = ("tags", "properties", "settings", "jobs", "inputs", "outputs")
NAMESPACE = uuid.UUID("00000000-0000-0000-0000-00000000d16e")


def guid(text: str) -> str:
    """The same text has the same id in every run."""
    return str(uuid.uuid5(NAMESPACE, text.lower()))


class Workspaces:
    """The workspaces of a subscription, alive and soft-deleted."""

    def __init__(self, double: "Double") -> None:
        self.double = double
        self.store = double.store
        self.soft_deleted: dict[str, Resource] = {}  # by id, in lower case
        kind = f"{ML}/workspaces"
        self.store.allow(kind, f"{kind}/datastores", f"{kind}/computes", f"{kind}/schedules")
        for asset in ASSETS:
            self.store.allow(f"{kind}/{asset}", f"{kind}/{asset}/versions")
            self.store.hook(self.store.before_put, f"{kind}/{asset}/versions")(self.check_version)
            self.store.hook(self.store.after_put, f"{kind}/{asset}/versions")(self.count_version)
        self.store.hook(self.store.before_put, kind)(self.complete)
        self.store.hook(self.store.after_put, kind)(self.furnish)
        self.store.hook(self.store.before_delete, kind)(self.remove)
        self.store.hook(self.store.before_put, f"{kind}/datastores")(self.complete_datastore)
        self.store.hook(self.store.before_put, f"{kind}/computes")(self.complete_compute)
        self.store.hook(self.store.after_put, f"{kind}/computes")(self.begin)
        self.store.hook(self.store.before_delete, f"{kind}/computes")(self.end)
        self.store.hook(self.store.before_put, f"{kind}/schedules")(self.complete_schedule)
        self.store.hook(self.store.after_put, f"{kind}/schedules")(self.begin)
        self.store.hook(self.store.before_delete, f"{kind}/schedules")(self.end)
        place = "/subscriptions/{subscription}/resourceGroups/{group}/providers/" + kind + "/{workspace}"
        double.route("DELETE", place)(self.purge)
        double.route("GET", "/discovery{rest*}")(self.discover)
        double.route("GET", place + "/datastores")(self.list_datastores)
        double.route("GET", place + "/schedules")(self.list_schedules)
        double.route("POST", place + "/datastores/{name}/listSecrets")(self.secrets)
        double.route("GET", place + "/{kind}/{name}/versions")(self.list_versions)
        double.route("POST", place + "/computes/{name}/listNodes")(self.list_nodes)
        for verb in ("start", "stop", "restart"):
            double.route("POST", place + "/computes/{name}/" + verb)(self.change_state)
        double.route("POST", place + "/schedules/{name}/trigger")(self.trigger)
        double.route("POST", place + "/diagnose")(self.diagnose)
        for asset in ASSETS:
            self.store.hook(self.store.before_put, f"{kind}/{asset}")(self.complete_container)
        self.idle_nodes = 0  # of every cluster
        double.route("POST", place + "/codes/{name}/versions/{version}/startPendingUpload")(self.start_upload)

    def id_of(self, name: str, group: str | None = None) -> str:
        scope = f"/subscriptions/{self.double.subscription}/resourceGroups/{group or self.double.resource_group}"
        return f"{scope}/providers/{ML}/workspaces/{name}"

    # -- workspaces --------------------------------------------------------------------------------------------------

    def create(self, name: str, group: str | None = None) -> Resource:
        """A workspace on resources of its own, as if somebody had put it there."""
        workspace = self.store.make(self.id_of(name, group), {"location": self.double.location})
        for part in ("storageAccount", "keyVault", "applicationInsights"):
            self.store.put(workspace["properties"][part], {"location": self.double.location})
        return workspace

    def complete(self, request: Request, draft: Resource) -> None:
        """What the service fills in; the refusal while a workspace of this name is only soft-deleted."""
        if request.path.rstrip("/").lower() in self.soft_deleted:
            message = "Soft-deleted workspace exists. Please purge or recover it. https://aka.ms/wsoftdelete"
            raise Refusal(400, "BadRequest", message)
        place, double = Id(request.path), self.double
        group = place.path.split("/")[4]
        host = f"127.0.0.1:{double.port}"
        account = "st" + re.sub("[^a-z0-9]", "", place.name.lower())[:20]
        scope = place.path.split("/providers/")[0]
        draft.setdefault("location", double.location)
        draft.setdefault("tags", {})
        draft.setdefault("kind", "Default")
        draft.setdefault("etag", None)
        draft.setdefault("sku", {"name": "Basic", "tier": "Basic"})
        identity = draft.setdefault("identity", {"type": "SystemAssigned"})
        identity |= {"principalId": guid(place.path + "/identity"), "tenantId": guid("tenant")}
        properties = draft["properties"]
        given = {
            "friendlyName": place.name,
            "storageAccount": f"{scope}/providers/Microsoft.Storage/storageAccounts/{account}",
            "keyVault": f"{scope}/providers/Microsoft.KeyVault/vaults/kv-{place.name}",
            "applicationInsights": f"{scope}/providers/Microsoft.Insights/components/appi-{place.name}",
            "systemDatastoresAuthMode": "identity",
            "v1LegacyMode": False,
        }
        for name, value in given.items():
            if properties.get(name) is None:
                properties[name] = value
        draft["properties"] = properties = defaults.filled(properties, defaults.WORKSPACE)
        properties |= {
            "containerRegistry": properties.get("containerRegistry"),
            "notebookInfo": {
                "resourceId": guid(place.path + "/notebooks").replace("-", ""),
                "fqdn": f"ml-{place.name}-{double.location}.notebooks.azure.net",
                "isPrivateLinkEnabled": False,
                "notebookPreparationError": None,
            },
            "sdkTelemetryAppInsightsKey": guid(place.path + "/telemetry"),
            "workspaceId": guid(place.path),
            "tenantId": guid("tenant"),
            "provisioningState": "Succeeded",
            "creationTime": now(),
            "discoveryUrl": f"{double.url}/discovery",
            "mlFlowTrackingUri": f"azureml://{host}/mlflow/v1.0/subscriptions/{double.subscription}/resourceGroups/{group}"
            f"/providers/{ML}/workspaces/{place.name}",
            "privateLinkCount": 0,
            "storageHnsEnabled": False,
        }

    def furnish(self, request: Request, workspace: Resource) -> None:
        """The four data stores that come with a workspace, two of them blob containers."""
        account = Id(workspace["properties"]["storageAccount"]).name
        keyless = str(workspace["properties"]["systemDatastoresAuthMode"]).lower() == "identity"
        for name, container in DATASTORES.items():
            share = name in SHARES
            if not share:
                self.double.blobs.create(account, container)
            path = f"{workspace['id']}/datastores/{name}"
            if self.store.get(path):
                continue
            properties = defaults.DATASTORE | {
                "datastoreType": "AzureFile" if share else "AzureBlob",
                "accountName": account,
                ("fileShareName" if share else "containerName"): container,
                "endpoint": f"{SERVICES['blob'].removeprefix('blob.')}:{self.double.port}",
                "protocol": "https",
                "credentials": {"credentialsType": "None" if keyless else "AccountKey"},
                "serviceDataAccessAuthIdentity": "None",
                "isDefault": name == "workspaceblobstore",
                "resourceGroup": None,
                "subscriptionId": None,
            }
            if properties["isDefault"]:
                properties["resourceGroup"] = workspace["id"].split("/")[4]
                properties["subscriptionId"] = self.double.subscription
            self.store.put(path, {"properties": properties})

    def remove(self, request: Request, workspace: Resource) -> Response:
        """Soft, unless `forceToPurge` says otherwise."""
        self.store.delete(workspace["id"])
        if request.query.get("forceToPurge", "").lower() == "true":
            self.soft_deleted.pop(workspace["id"].lower(), None)
        else:
            self.soft_deleted[workspace["id"].lower()] = workspace
        return Response(202, None, self.store.start("Succeeded"))

    def purge(self, request: Request, **_: str) -> Response:
        """A deletion, which may also be of what is only soft-deleted. (MLClient looks first, and finds nothing.)"""
        key = request.path.rstrip("/").lower()
        purged = request.query.get("forceToPurge", "").lower() == "true"
        if purged and self.store.get(request.path) is None and self.soft_deleted.pop(key, {}):
            return Response(202, None, self.store.start("Succeeded"))
        return self.store.answer_delete(request)

    def diagnose(self, request: Request, **_: str) -> Response:
        """Nothing is wrong with a workspace of the double."""
        if self.store.get(workspace := request.path.rpartition("/")[0]) is None:
            raise Refusal(404, "ResourceNotFound", f"The resource '{workspace}' was not found.")
        kinds = ("applicationInsights", "containerRegistry", "dnsResolution", "keyVault", "networkSecurityRule")
        more = ("other", "resourceLock", "storageAccount", "userDefinedRoute")
        found = Response(200, {"value": {f"{each}Results": [] for each in (*kinds, *more)}})
        return Response(202, None, self.store.start_location(found))

    def discover(self, request: Request, rest: str) -> Any:
        url = self.double.url
        names = (
            "api",
            "experimentation",
            "gallery",
            "history",
            "hyperdrive",
            "labeling",
            "modelmanagement",
            "pipelines",
        )
        return dict.fromkeys((*names, "catalog", "notebooks", "studio", "discovery"), url)

    # -- data stores -------------------------------------------------------------------------------------------------

    def list_datastores(self, request: Request, subscription: str, group: str, workspace: str) -> Any:
        found = self.store.collection(request.path)
        if request.query.get("isDefault", "").lower() == "true":
            found = [one for one in found if one["properties"].get("isDefault")]
        return {"value": found}

    def secrets(self, request: Request, name: str, **_: str) -> Any:
        datastore = self.store.get(request.path.rpartition("/")[0])
        if datastore is None:
            raise ml_refusal(404, f"Not found datastore {name}.", "NotFound", "DatastoreNotFound")
        if (datastore["properties"].get("credentials") or {}).get("credentialsType", "None") == "None":
            raise ml_refusal(400, "No secrets for credentials of type None.")
        if (request.body or {}).get("expirableSecret"):  # what clients of today ask for
            return {"secretsType": "Sas", "sasToken": "?sv=2024&sr=c&sp=racwdl&sig=double"}
        return {"secretsType": "AccountKey", "key": base64.b64encode(name.encode()).decode()}

    def complete_datastore(self, request: Request, draft: Resource) -> None:
        """What somebody knows of a datastore is kept, its secrets are not shown."""
        properties = defaults.filled(draft["properties"], defaults.DATASTORE)
        credentials = properties.get("credentials") or {}
        properties["credentials"] = {"credentialsType": credentials.get("credentialsType", "None")}
        properties.setdefault("serviceDataAccessAuthIdentity", "None")
        properties |= {"subscriptionId": None, "resourceGroup": None}
        draft["properties"] = properties

    def change_state(self, request: Request, name: str, **_: str) -> Response:
        """Start, stop or restart a compute instance."""
        path, _slash, verb = request.path.rpartition("/")
        compute = self.store.get(path)
        if compute is None:
            return Response(404)
        inner = compute["properties"].get("properties") or {}
        compute["properties"]["properties"] = inner | {"state": "Stopped" if verb == "stop" else "Running"}
        return Response(202, None, self.store.start_both("InProgress", "Succeeded"))

    def trigger(self, request: Request, name: str, **_: str) -> Any:
        if self.store.get(request.path.rpartition("/")[0]) is None:
            raise ml_refusal(404, f"Not found schedule {name}.", "NotFound", "ScheduleNotFound")
        return {"jobName": f"{name}-{guid(name + now())}", "scheduleActionType": "CreateJob"}

    def list_nodes(self, request: Request, **_: str) -> Any:
        return {"nodes": [{"nodeId": f"tvmps_{number}", "nodeState": "idle"} for number in range(self.idle_nodes)]}

    # -- computes and schedules: operations that are over at the first poll ------------------------------------------

    def complete_compute(self, request: Request, draft: Resource) -> None:
        draft.setdefault("location", self.double.location)
        draft["tags"] = draft.get("tags") or {}
        if (draft.get("identity") or {}).get("type") == "SystemAssigned":
            draft["identity"] = {"principalId": guid(request.path), "tenantId": guid("tenant")} | draft["identity"]
        draft["properties"] = defaults.compute(draft["properties"])
        draft["properties"] |= {"provisioningState": "Succeeded", "computeLocation": draft["location"]}

    def complete_schedule(self, request: Request, draft: Resource) -> None:
        properties = defaults.filled(draft["properties"], {"description": None, "tags": {}, "properties": {}})
        properties |= {"provisioningState": "Succeeded"}
        properties.setdefault("isEnabled", True)
        properties["trigger"] = defaults.filled(properties.get("trigger"), {"endTime": None, "startTime": None})
        action = properties.get("action") or {}
        if isinstance(action.get("jobDefinition"), dict):
            job = defaults.job(action["jobDefinition"], None) | {"status": "NotStarted"}
            if job.get("sourceJobId"):  # what that job has is not told again
                job |= {"services": None} | dict.fromkeys(FROM_ITS_SOURCE)
            properties["action"] = action | {"jobDefinition": job}
        draft["properties"] = properties

    def list_schedules(self, request: Request, **_: str) -> Any:
        wanted = request.query.get("listViewType", "EnabledOnly").lower().replace("_", "")
        found = self.store.collection(request.path)
        if wanted != "all":
            found = [one for one in found if one["properties"]["isEnabled"] == (wanted == "enabledonly")]
        return self.store.page(request, found)

    def begin(self, request: Request, resource: Resource) -> Response:
        creating = resource | {"properties": resource["properties"] | {"provisioningState": "Creating"}}
        if "/computes/" in request.path and (inner := resource["properties"].get("properties")):
            nulls = dict.fromkeys(("currentNodeCount", "targetNodeCount", "nodeStateCounts", "allocationState"))
            creating |= {"tags": resource["tags"] or None}
            creating["properties"] |= {"provisioningWarnings": None}
            if resource["properties"].get("computeType") == "ComputeInstance":
                nulls = dict.fromkeys(inner.keys() - defaults.TOLD_OF_AN_INSTANCE)
            shown = inner | {key: None for key in nulls if key in inner}
            if "vmSize" in shown:  # in this answer only
                shown["vmSize"] = str(shown["vmSize"]).upper()
            creating["properties"]["properties"] = shown
        if job := (resource["properties"].get("action") or {}).get("jobDefinition") or {}:
            sent = request.body["properties"]["action"]["jobDefinition"]
            said = job | {key: sent[key] for key in FROM_ITS_SOURCE if job.get(key) is None and key in sent}
            creating["properties"]["action"] = resource["properties"]["action"] | {"jobDefinition": said}
        headers = self.store.start("Creating" if "/schedules/" in request.path else "InProgress", "Succeeded")
        return Response(201, creating, headers | self.store.location(request))

    def end(self, request: Request, resource: Resource) -> Response:
        self.store.delete(resource["id"])
        return Response(202, None, self.store.start("Succeeded"))

    # -- versioned assets --------------------------------------------------------------------------------------------

    def check_version(self, request: Request, draft: Resource) -> Response | None:
        """Content cannot be changed; everything else about a version can."""
        place = Id(request.path)
        kind = place.type.split("/")[2]
        before = self.store.get(request.path)
        properties = draft["properties"]
        if kind in CONTENT:
            properties[CONTENT[kind]] = self.long_uri(place, properties.get(CONTENT[kind]))
            if before and properties[CONTENT[kind]] != before["properties"][CONTENT[kind]]:
                raise ml_refusal(400, "Asset paths cannot be updated.")
        if kind == "components" and before:
            self.refuse_other_code(place, before["properties"], properties)
        draft["properties"] = defaults.version(kind, properties, place)
        return None

    @staticmethod
    def refuse_other_code(place: Id, before: Resource, after: Resource) -> None:
        code = [(one.get("componentSpec") or {}).get("code") for one in (before, after)]
        if code[0] != code[1]:
            name = place.names[-2]
            message = (
                f'Failed to update component {name} since field "code" is immutable, try specifying a new version.'
            )
            raise ml_refusal(400, message, "BadArgument", "ArgumentInvalid", "UpdateComponentFailed")

    @staticmethod
    def long_uri(place: Id, uri: str | None) -> str | None:
        """`azureml://datastores/...` with subscription, group and workspace, as the service keeps it."""
        if not uri or not uri.startswith("azureml://datastores/"):
            return uri
        part = place.path.split("/")
        return (
            f"azureml://subscriptions/{part[2]}/resourcegroups/{part[4]}/workspaces/{part[8]}" + uri[len("azureml:/") :]
        )

    def count_version(self, request: Request, version: Resource) -> None:
        """A version's container comes with its first version, and knows the latest and the next."""
        container = Id(version["id"]).parent
        known = [one["name"] for one in self.store.collection(container + "/versions")]
        numbers = [int(name) for name in known if name.isdigit()]
        before = self.store.get(container)
        kind = Id(version["id"]).type.split("/")[2]
        properties = copy.deepcopy(before["properties"] if before else defaults.container(kind))
        if "dataType" in version["properties"]:
            properties["dataType"] = version["properties"]["dataType"]
        properties |= {"latestVersion": version["name"], "nextVersion": str(max(numbers, default=0) + 1)}
        if kind in ("components", "environments"):
            properties |= {"description": "", "provisioningState": "Succeeded"}
        if kind == "components":  # whose versions the service does not count
            moment = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d-%H-%M-%S-%f") + "0"
            properties |= {"latestVersion": None, "nextVersion": moment}
        if not version["properties"]["isAnonymous"] or before:
            self.store.put(container, {"properties": properties})

    def complete_container(self, request: Request, draft: Resource) -> None:
        kind = Id(request.path).type.split("/")[2]
        draft["properties"] = defaults.filled(draft["properties"], defaults.container(kind))

    def list_versions(self, request: Request, kind: str, name: str, **_: str) -> Any:
        found = self.store.collection(request.path)
        if not found and self.store.get(request.path.rpartition("/")[0]) is None and kind != "codes":
            title = f"{kind.capitalize().removesuffix('s')}"
            detail = {
                "code": f"{title}NotFound",
                "message": f"{title} container with name: {name} not found.",
                "details": [],
                "additionalInfo": [],
            }
            raise ml_refusal(404, "The specified resource was not found.", details=[detail])
        if wanted := request.query.get("hash"):
            # The client has just made up this name: what it asks is whether the same code is there under any.
            found = self.store.of_type(f"{ML}/workspaces/codes/versions", "/".join(request.path.split("/")[:9]) + "/")
            found = [one for one in found if one["properties"]["properties"].get("hash_sha256") == wanted]
        if (request.query.get("listViewType") or "ActiveOnly") == "ActiveOnly":
            found = [one for one in found if not one["properties"].get("isArchived")]
        return self.store.page(request, found)

    def start_upload(self, request: Request, name: str, version: str, **_: str) -> Any:
        """A container of its own for one snapshot of code, and a signature that opens it."""
        workspace = self.store.get("/".join(request.path.split("/")[:9])) or {}
        account = Id(workspace["properties"]["storageAccount"]).name
        container = guid(name + version)
        self.double.blobs.create(account, container)
        url = f"https://{account}.{SERVICES['blob']}:{self.double.port}/{container}"
        return {
            "blobReferenceForConsumption": {
                "blobUri": url,
                "storageAccountArmId": workspace["properties"]["storageAccount"],
                "credential": {"credentialType": "SAS", "sasUri": url + "?sv=2024&sr=c&sp=racwl&sig=double"},
            },
            "pendingUploadId": guid("upload" + name + version),
            "pendingUploadType": "None",
        }
