"""Azure around the workspace: resource groups, deployments, what-if, usage and sizes, the resources of a template."""

from typing import TYPE_CHECKING, Any

from .arm import ML, Id, Resource
from .web import Refusal, Request, Response

if TYPE_CHECKING:
    from . import Double

GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
POLICIES = "/subscriptions/{subscription}/providers/Microsoft.Authorization/policyAssignments"
LOCATION = "/subscriptions/{subscription}/providers/" + ML + "/locations/{location}"
VAULT = "Microsoft.KeyVault/vaults"
VAULTS = "/subscriptions/{subscription}/providers/Microsoft.KeyVault"
KINDS = (
    "Microsoft.Storage/storageAccounts",
    "Microsoft.Insights/components",
    "Microsoft.OperationalInsights/workspaces",
    "Microsoft.ContainerRegistry/registries",
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "Microsoft.Authorization/roleAssignments",
    VAULT,
)
# Name, family, cores, GB of memory.
SIZES = [
    ("Standard_DS1_v2", "standardDSv2Family", 1, 3.5),
    ("Standard_DS2_v2", "standardDSv2Family", 2, 7.0),
    ("Standard_DS3_v2", "standardDSv2Family", 4, 14.0),
    ("Standard_F2s_v2", "standardFSv2Family", 2, 4.0),
    ("Standard_F4s_v2", "standardFSv2Family", 4, 8.0),
    ("Standard_F8s_v2", "standardFSv2Family", 8, 16.0),
    ("Standard_D2as_v4", "standardDASv4Family", 2, 8.0),
    ("Standard_D2a_v4", "standardDAv4Family", 2, 8.0),
]


class Resources:
    """Groups and subscription-level things."""

    def __init__(self, double: "Double") -> None:
        self.double = double
        self.groups: dict[str, Resource] = {}
        self.deleted_vaults: dict[str, Resource] = {}  # by name, in lower case
        double.store.allow(*KINDS)
        double.store.hook(double.store.before_put, VAULT)(self.check_vault)
        double.store.hook(double.store.before_delete, VAULT)(self.keep_vault)
        double.route("GET", VAULTS + "/deletedVaults")(self.list_deleted_vaults)
        double.route("POST", VAULTS + "/locations/{location}/deletedVaults/{name}/purge")(self.purge_vault)
        double.route("GET", LOCATION + "/usages")(self.usages)
        double.route("GET", LOCATION + "/vmSizes")(self.sizes)
        double.route("GET", POLICIES)(self.policies)
        self.allowed_locations: list[str] | None = None  # what a policy leaves; None: there is no such policy
        self.usage: dict[str, tuple[int, int]] = {  # what is used and what there is, in cores: a student's subscription
            "Total Cluster Dedicated Regional vCPUs": (0, 6),
            "Total Cluster LowPriority Regional vCPUs": (0, 3),
            "standardDSv2Family": (0, 6),
            "standardFSv2Family": (0, 6),
            "standardDASv4Family": (0, 6),
            "standardDAv4Family": (0, 0),
        }
        double.route("GET", "/subscriptions/{subscription}")(self.subscription)
        double.route("GET", "/subscriptions")(self.subscriptions)
        double.route("GET", "/subscriptions/{subscription}/resourceGroups")(self.list_groups)
        double.route("GET", GROUP)(self.get_group)
        double.route("HEAD", GROUP)(self.head_group)
        double.route("PUT", GROUP)(self.put_group)
        double.route("DELETE", GROUP)(self.delete_group)
        double.route("GET", GROUP + "/resources")(self.list_resources)

    def create_group(self, name: str, location: str) -> Resource:
        path = f"/subscriptions/{self.double.subscription}/resourceGroups/{name}"
        self.groups[name.lower()] = {
            "id": path,
            "name": name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": location,
            "tags": {},
            "properties": {"provisioningState": "Succeeded"},
        }
        return self.groups[name.lower()]

    def subscription(self, request: Request, subscription: str) -> Any:
        return {
            "id": f"/subscriptions/{subscription}",
            "subscriptionId": subscription,
            "displayName": "Azure for Students",
            "state": "Enabled",
            "tenantId": "adfs",
        }

    def subscriptions(self, request: Request) -> Any:
        return {"value": [self.subscription(request, self.double.subscription)]}

    def find_group(self, name: str) -> Resource:
        if name.lower() not in self.groups:
            raise Refusal(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
        return self.groups[name.lower()]

    def get_group(self, request: Request, subscription: str, group: str) -> Any:
        return self.find_group(group)

    def head_group(self, request: Request, subscription: str, group: str) -> Any:
        return Response(204 if group.lower() in self.groups else 404)

    def list_groups(self, request: Request, subscription: str) -> Any:
        return {"value": list(self.groups.values())}

    def put_group(self, request: Request, subscription: str, group: str) -> Any:
        existed = group.lower() in self.groups
        body = request.body or {}
        made = self.create_group(group, body.get("location", self.double.location))
        made["tags"] = body.get("tags") or {}
        return Response(200 if existed else 201, made)

    def delete_group(self, request: Request, subscription: str, group: str) -> Any:
        """All that is in it goes too; its workspaces are soft-deleted, as by hand."""
        path = self.find_group(group)["id"]
        for workspace in self.double.store.of_type(f"{ML}/workspaces", path + "/"):
            self.double.workspaces.soft_deleted[workspace["id"].lower()] = workspace
        for vault in self.double.store.of_type(VAULT, path + "/"):
            self.keep_vault(request, vault)
        self.double.store.delete(path)
        del self.groups[group.lower()]
        return Response(202, None, self.double.store.start_location())

    def list_resources(self, request: Request, subscription: str, group: str) -> Any:
        scope = self.find_group(group)["id"].lower() + "/providers/"
        found = [one for name, one in self.double.store.resources.items() if name.startswith(scope)]
        return {"value": [one for one in found if len(Id(one["id"]).names) == 1]}

    # -- key vaults: a deleted one keeps its name, which is everybody's ----------------------------------------------

    def check_vault(self, request: Request, draft: Resource) -> None:
        if Id(request.path).name.lower() in self.deleted_vaults:
            message = (
                "A vault with the same name already exists in deleted state. You need to either recover or purge "
                "existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more "
                "information on soft delete."
            )
            raise Refusal(409, "ConflictError", message)

    def keep_vault(self, request: Request, vault: Resource) -> None:
        self.deleted_vaults[vault["name"].lower()] = vault

    def list_deleted_vaults(self, request: Request, subscription: str) -> Any:
        return {
            "value": [
                {"name": one["name"], "properties": {"vaultId": one["id"]}} for one in self.deleted_vaults.values()
            ]
        }

    def purge_vault(self, request: Request, subscription: str, location: str, name: str) -> Response:
        vault = self.deleted_vaults.get(name.lower())
        if vault is None:
            raise Refusal(404, "DeletedVaultNotFound", f"The specified deleted vault '{name}' does not exist.")
        if vault["properties"].get("enablePurgeProtection"):
            message = f"The vault '{name}' cannot be purged: purge protection is enabled."
            raise Refusal(400, "MethodNotAllowed", message)
        del self.deleted_vaults[name.lower()]
        return Response(202, None, self.double.store.start_location())

    # -- quota -------------------------------------------------------------------------------------------------------

    def policies(self, request: Request, subscription: str) -> Any:
        """As Azure for Students has one: "Allowed resource deployment regions". Unasked, those of groups come too."""
        if request.query.get("$filter") != "atScope()":
            raise Refusal(501, "NotImplemented", "policies are looked up with $filter=atScope()")
        if self.allowed_locations is None:
            return {"value": []}
        scope = f"/subscriptions/{subscription}"
        assignment = {
            "id": f"{scope}/providers/Microsoft.Authorization/policyAssignments/sys.regionrestriction",
            "name": "sys.regionrestriction",
            "properties": {
                "displayName": "Allowed resource deployment regions",
                "parameters": {"listOfAllowedLocations": {"value": self.allowed_locations}},
                "scope": scope,
            },
        }
        return {"value": [assignment]}

    def usages(self, request: Request, subscription: str, location: str) -> Any:
        scope = f"/subscriptions/{subscription}/providers/{ML}/locations/{location}/usages"
        value = [
            {
                "id": f"{scope}/{name}",
                "type": f"{ML}/usages",
                "unit": "Count",
                "currentValue": used,
                "limit": limit,
                "name": {"value": name, "localizedValue": name},
            }
            for name, (used, limit) in self.usage.items()
        ]
        return {"value": value}

    def sizes(self, request: Request, subscription: str, location: str) -> Any:
        value = [
            {
                "name": name,
                "family": family,
                "vCPUs": cores,
                "gpus": 0,
                "osVhdSizeMB": 1047552,
                "maxResourceVolumeMB": int(memory * 2048),
                "memoryGB": memory,
                "lowPriorityCapable": True,
                "premiumIO": True,
                "supportedComputeTypes": ["AmlCompute", "ComputeInstance"],
            }
            for name, family, cores, memory in SIZES
        ]
        return {"value": value}
