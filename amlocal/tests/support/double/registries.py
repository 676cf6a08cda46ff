"""Registries: what they are in ARM, and the address at which a client asks where one is served."""

import re
from typing import TYPE_CHECKING, Any

from .arm import ML, Id, Resource
from .web import Refusal, Request, Response, ml_refusal
from .workspace import CONTAINER, guid

if TYPE_CHECKING:
    from . import Double

KIND = f"{ML}/registries"
# Where a client finds what is in a registry: at the address that discovery told it, in the grammar of ARM.
SERVED = (
    "/mferp/managementfrontend/subscriptions/{subscription}/resourceGroups/{group}/providers/" + KIND + "/{registry}"
)
SOURCE = re.compile(
    r"azureml://locations/[\w-]+/workspaces/(?P<workspace>[\w-]+)/models/(?P<name>[^/]+)/versions/(?P<version>[^/]+)"
)


class Registries:
    """A model of a workspace can be shared to one; nothing else can be put into it."""

    def __init__(self, double: "Double") -> None:
        self.double, self.store = double, double.store
        self.store.allow(KIND)
        self.store.hook(self.store.before_put, KIND)(self.complete)
        self.store.hook(self.store.before_delete, KIND)(self.remove)
        double.route("GET", "/registrymanagement/v1.0/registries/{name}/discovery")(self.discover)
        self.models: dict[tuple[str, str, str], Resource] = {}  # by registry, name and version
        double.route("POST", SERVED + "/import")(self.share)
        double.route("GET", SERVED + "/models/{name}/versions")(self.list_models)
        double.route("GET", SERVED + "/models/{name}/versions/{version}")(self.show_model)
        double.route("POST", SERVED + "/datarefs/{name}/versions/{version}")(self.refer)

    def complete(self, request: Request, draft: Resource) -> None:
        place, url = Id(request.path), self.double.url
        scope = f"/subscriptions/{self.double.subscription}/resourceGroups/azureml-rg-{place.name}_{guid(place.name)}"
        draft.setdefault("tags", {})
        location = draft.setdefault("location", self.double.location)
        draft["identity"] = draft.get("identity") or {"type": "SystemAssigned"}
        draft["identity"] = {"principalId": guid(place.path), "tenantId": guid("tenant")} | draft["identity"]
        short = f"{place.name[:5]}{guid(place.path).replace('-', '')[:19]}"
        storage = {
            "storageAccountName": short,
            "storageAccountType": "standard_lrs",
            "storageAccountHnsEnabled": False,
            "armResourceId": {"resourceId": f"{scope}/providers/Microsoft.Storage/storageAccounts/{short}"},
        }
        images = {
            "acrAccountName": short,
            "acrAccountSku": "Premium",
            "armResourceId": {"resourceId": f"{scope}/providers/Microsoft.ContainerRegistry/registries/{short}"},
        }
        region = {
            "location": location,
            "storageAccountDetails": [{"userCreatedStorageAccount": None, "systemCreatedStorageAccount": storage}],
            "acrDetails": [{"userCreatedAcrAccount": None, "systemCreatedAcrAccount": images}],
        }
        draft["properties"] = {
            "intellectualPropertyPublisher": None,
            "publicNetworkAccess": "Enabled",
            **draft["properties"],
            "regionDetails": [region],
            "discoveryUrl": f"{url}/registrymanagement/v1.0/registries/{place.name}/discovery",
            "managedResourceGroup": {"resourceId": scope},
            "managedResourceGroupTags": draft["tags"],
            "mlFlowRegistryUri": f"azureml://127.0.0.1:{self.double.port}/mlflow/v1.0{place.path}",
        }

    def remove(self, request: Request, registry: Resource) -> Response:
        self.store.delete(registry["id"])
        return Response(202, None, self.store.start_both("InProgress", "Succeeded"))

    def discover(self, request: Request, name: str) -> Any:
        """Azure does not tell a registry that is not there from one that somebody may not use."""
        found = [one for one in self.store.of_type(KIND) if one["name"].lower() == name.lower()]
        if not found:
            raise self.not_allowed(name)
        id, location = found[0]["id"], found[0]["location"]
        return {
            "registryId": guid(id),
            "registryName": found[0]["name"],
            "tenantId": guid("tenant"),
            "primaryRegion": location,
            "regions": [location],
            "subscriptionId": id.split("/")[2],
            "resourceGroup": id.split("/")[4],
            "workspaceName": None,
            "primaryRegionResourceProviderUri": f"{self.double.url}/",
            "registryFqdns": {location: {"uri": self.double.url}},
            "intellectualPropertyPublisher": None,
            "isTradeRestricted": False,
        }

    def share(self, request: Request, registry: str, **_: str) -> Response:
        """A copy of a workspace's model, under its own or another name."""
        given = request.body["properties"]
        source = SOURCE.fullmatch(given["sourceAssetId"])
        assert source and source["workspace"] == guid(self.double.workspace_id), given
        place = f"{self.double.workspace_id}/models/{source['name']}/versions/{source['version']}"
        found = self.store.get(place)
        if found is None:
            raise ml_refusal(404, f"Not found model {source['name']}.", "NotFound", "ModelNotFound")
        name, version = given["destinationName"], given["destinationVersion"]
        if (registry, name, version) in self.models:
            raise ml_refusal(409, f"Model {name}:{version} exists in registry {registry}.", "Conflict", "AssetExists")
        path = f"azureml://registries/{registry}/models/{name}/versions/{version}"
        theirs = found["properties"]
        blob = theirs["modelUri"].partition("/paths/")[2]
        storage = f"{self.storage}/{CONTAINER}/{blob}"
        made = found | {"id": path, "name": version, "type": f"{KIND}/models/versions"}
        self.models[registry, name, version] = made | {"properties": theirs | {"modelUri": storage}}
        return Response(
            202, None, self.store.start_location()
        )  # whose result is empty: the client then asks for the model

    @property
    def storage(self) -> str:
        """Where the double keeps the files: beside those of the workspace."""
        account = self.store.get(self.double.workspace_id)["properties"]["storageAccount"].rpartition("/")[2]
        return f"https://{account}.blob.core.localhost:{self.double.port}"

    def show_model(self, request: Request, registry: str, name: str, version: str, **_: str) -> Any:
        if (registry, name, version) not in self.models:
            raise ml_refusal(404, f"Not found model {name} (version: {version}).", "NotFound", "ModelNotFound")
        return self.models[registry, name, version]

    def list_models(self, request: Request, registry: str, name: str, **_: str) -> Any:
        found = [one for (place, model, _), one in self.models.items() if (place, model) == (registry, name)]
        return {"value": found[::-1]}

    def refer(self, request: Request, **_: str) -> Any:
        """An address under which the files may be read for a while."""
        credential = {"credentialType": "SAS", "sasUri": f"{self.storage}/{CONTAINER}?sv=2023-11-03&sig=double"}
        return {"blobReferenceForConsumption": {"blobUri": request.body["blobUri"], "credential": credential}}

    @staticmethod
    def not_allowed(name: str) -> Refusal:
        """In the form of a service that ARM does not speak for."""
        inner: Any = None
        for code in ("UnAuthorizedRegistryAccess", "Authorization", "Auth"):
            inner = {"code": code, "innerError": inner}
        said = "User/tenant/subscription is not allowed to access registry "
        refusal = Refusal(
            403,
            "UserError",
            said + name,
            severity=None,
            messageFormat=said + "{feedName}",
            messageParameters={"feedName": name},
            details=[],
            innerError=inner,
            **dict.fromkeys(("referenceCode", "detailsUri", "target", "debugInfo", "additionalInfo")),
        )
        refusal.response.body.update(
            correlation={"operation": "9518a5120e841c6a", "request": "2632b07b9427daef"},
            environment="eastus",
            location="eastus",
            time="2026-03-27T04:03:47.3253723+00:00",
            componentName="feedmanagement",
            statusCode=403,
        )
        return refusal
