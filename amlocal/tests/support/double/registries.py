"""Registries: what they are in ARM, and the address at which a client asks where one is served."""

from typing import TYPE_CHECKING, Any

from .arm import ML, Id, Resource
from .web import Refusal, Request, Response
from .workspace import guid

if TYPE_CHECKING:
    from . import Double

KIND = f"{ML}/registries"


class Registries:
    """Nothing can be put into one: it can be made, found, shown and deleted."""

    def __init__(self, double: "Double") -> None:
        self.double, self.store = double, double.store
        self.store.allow(KIND)
        self.store.hook(self.store.before_put, KIND)(self.complete)
        self.store.hook(self.store.before_delete, KIND)(self.remove)
        double.route("GET", "/registrymanagement/v1.0/registries/{name}/discovery")(self.discover)

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
