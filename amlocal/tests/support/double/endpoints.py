"""Online endpoints and deployments, and the ways in which Azure refuses them."""

import json
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amlocal.operations import service

from . import defaults
from .arm import ML, Id, Resource, merge, now
from .certificate import SERVICES
from .identity import CLIENT_ID, OBJECT_ID, token
from .resources import SIZES
from .web import Cut, Refusal, Request, Response

if TYPE_CHECKING:
    from . import Double

ENDPOINT = f"{ML}/workspaces/onlineEndpoints"
DEPLOYMENT = f"{ENDPOINT}/deployments"
PLACE = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/"
    + ML
    + "/workspaces/{workspace}/onlineEndpoints/{name}"
)
KINDS = ("quota", "quota-async", "endpoints", "image", "permission", "region", "throttled", "cut")


class Endpoints:
    """What tests set, besides `refuse`:

    answer    what a deployment says to a request: answer(deployment, body) -> JSON; an exception is a 424
    logs      what `get-logs` shows
    calls     how often each endpoint was called within the last hour, as Azure Monitor counted
    """

    def __init__(self, double: "Double") -> None:
        self.double = double
        self.refusal = ""
        self.times = 0  # how often "throttled" and "cut" strike before they let go
        self.sizes: frozenset[str] = frozenset()
        self.answer: Callable[[str, Any], Any] = lambda deployment, body: {"predictions": [7], "deployment": deployment}
        self.logs = "Instance status:\nSystemSetup: Succeeded\nUserContainerImagePull: Succeeded\n"
        self.calls: Counter[str] = Counter()
        self.keys: dict[str, dict[str, str]] = {}
        store = double.store
        store.allow(ENDPOINT, DEPLOYMENT)
        store.hook(store.before_put, ENDPOINT)(self.complete_endpoint)
        store.hook(store.after_put, ENDPOINT)(self.begin)
        store.hook(store.before_delete, ENDPOINT)(self.end)
        store.hook(store.before_put, DEPLOYMENT)(self.complete_deployment)
        store.hook(store.after_put, DEPLOYMENT)(self.begin)
        store.hook(store.before_delete, DEPLOYMENT)(self.end)
        double.route("PATCH", PLACE)(self.update_endpoint)
        double.route("POST", PLACE + "/listKeys")(self.list_keys)
        double.route("POST", PLACE + "/regenerateKeys")(self.regenerate_keys)
        double.route("POST", PLACE + "/token")(self.token)
        double.route("POST", PLACE + "/deployments/{deployment}/getLogs")(self.get_logs)
        double.route("GET", PLACE + "/providers/Microsoft.Insights/metrics")(self.metrics)
        double.route("POST", "/score", service="inference")(self.score)

    def refuse(self, kind: str, times: int = 1, sizes: set[str] | None = None) -> None:
        """Refuse the deployments that follow (of these sizes, or of all):

        quota         at once, with 400                       quota-async   once it is polled, with status 200
        endpoints     at once: the subscription's endpoints   image         could not be built (polled)
        permission    403
        region        not in this region, says a policy       ""            no more
        throttled     429 with Retry-After, `times` times     cut           no answer to the first `times` polls

        Without any of this a deployment is refused when `double.resources.usage` has too few cores left for it.
        """
        if kind and kind not in KINDS:
            raise ValueError(f"a deployment is not refused by {kind!r} but by one of {', '.join(KINDS)}")
        self.refusal, self.times, self.sizes = kind, times, frozenset(sizes or ())

    # -- endpoints ---------------------------------------------------------------------------------------------------

    def refuse_for_endpoints(self) -> None:
        if self.refusal == "endpoints":
            message = '{"error":{"code":"QuotaExceeded","message":"Endpoint Quota reached for subscription"}}'
            detail = {"code": "InferencingClientCallFailed", "message": message}
            raise Refusal(400, "BadRequest", "The request is invalid.", details=[detail])

    def complete_endpoint(self, request: Request, draft: Resource) -> None:
        self.refuse_for_endpoints()
        name = Id(request.path).name
        if not 3 <= len(name) <= 32:
            raise Refusal(400, "BadArgument", f"Endpoint name {name} must have 3 to 32 characters.")
        properties = draft["properties"]
        properties["traffic"] = properties.get("traffic") or {}
        properties["mirrorTraffic"] = properties.get("mirrorTraffic") or {}
        self.check_traffic(request, properties)
        host = f"https://{name}.{SERVICES['inference']}:{self.double.port}"
        properties |= {
            "scoringUri": f"{host}/score",
            "swaggerUri": f"{host}/swagger.json",
            "provisioningState": "Succeeded",
        }
        before = self.double.store.get(request.path)
        created = before["properties"]["properties"]["createdAt"] if before else now()
        properties["properties"] = (properties.get("properties") or {}) | {
            "createdAt": created,
            "lastModifiedAt": now(),
            "azureml.onlineendpointid": Id(request.path).path.lower(),
            "AzureAsyncOperationUri": f"{self.double.url}/operations/{name}",
        }
        draft["properties"] = defaults.filled(properties, defaults.ONLINE_ENDPOINT)
        draft["kind"] = draft.get("kind") or service.ENDPOINT_KIND
        draft["tags"] = draft.get("tags") or {}
        identity = draft.get("identity") or {"type": "SystemAssigned"}
        draft["identity"] = {"principalId": OBJECT_ID, "tenantId": OBJECT_ID} | identity
        self.keys.setdefault(name, {"primaryKey": f"{name}-primary", "secondaryKey": f"{name}-secondary"})

    def check_traffic(self, request: Request, properties: dict[str, Any]) -> None:
        there = {one["name"] for one in self.double.store.collection(request.path.rstrip("/") + "/deployments")}
        traffic, mirror = properties["traffic"], properties["mirrorTraffic"]
        if unknown := sorted((set(traffic) | set(mirror)) - there):
            raise Refusal(
                400, "BadArgument", f"Traffic is set for deployments that do not exist: {', '.join(unknown)}."
            )
        if sum(traffic.values()) not in (0, 100):
            raise Refusal(400, "BadArgument", f"Traffic must sum to 0 or 100, not {sum(traffic.values())}.")
        if len(mirror) > 1 or sum(mirror.values()) > 50:
            raise Refusal(400, "BadArgument", "Traffic can be mirrored to one deployment, at most 50 percent.")

    def update_endpoint(self, request: Request, **_: str) -> Response:
        merged = merge(self.double.store.find(request), request.body or {})
        self.complete_endpoint(request, merged)
        return self.begin(request, self.double.store.put(request.path, merged))

    def list_keys(self, request: Request, name: str, **_: str) -> Any:
        if name not in self.keys:
            raise Refusal(404, "ResourceNotFound", f"Endpoint {name} was not found.")
        return self.keys[name]

    def regenerate_keys(self, request: Request, name: str, **_: str) -> Response:
        which = "primaryKey" if request.body["keyType"] == "Primary" else "secondaryKey"
        self.keys[name][which] = request.body.get("keyValue") or self.keys[name][which] + "-new"
        return Response(202, None, self.double.store.start_location())

    def token(self, request: Request, name: str, **_: str) -> Any:
        times = {"expiryTimeUtc": 4_000_000_000, "refreshAfterTimeUtc": 3_999_000_000}
        return {"accessToken": token(name), "tokenType": "Bearer", **times}

    # -- deployments -------------------------------------------------------------------------------------------------

    def complete_deployment(self, request: Request, draft: Resource) -> None:
        self.refuse_for_endpoints()
        place = Id(request.path)
        if self.double.store.get(place.parent) is None:
            raise Refusal(404, "ResourceNotFound", f"Endpoint {place.names[-2]} was not found.")
        properties = draft["properties"]
        sku = draft.get("sku") or dict(defaults.SKU)
        draft["sku"] = sku
        size = properties.get("instanceType") or service.ONLINE_DEPLOYMENT["instance_type"]
        self.refuse_at_once(request, size, sku.get("capacity") or 1)
        properties |= {"instanceType": size, "provisioningState": "Succeeded"}
        draft["properties"] = properties = defaults.filled(properties, defaults.DEPLOYMENT)
        draft["kind"] = draft.get("kind") or service.ENDPOINT_KIND
        for collection in ((properties.get("dataCollector") or {}).get("collections") or {}).values():
            collection["dataCollectionMode"] = collection["dataCollectionMode"].capitalize()

    def struck(self, kind: str, size: str) -> bool:
        return self.refusal == kind and (not self.sizes or size in self.sizes)

    def refuse_at_once(self, request: Request, size: str, count: int) -> None:
        """Sources: quota in mslearn-azure-ml#30, the policy in azure-cli#32913; the rest is ARM's own."""
        if self.struck("permission", size):
            message = (
                f"The client '{CLIENT_ID}' with object id '{OBJECT_ID}' does not have authorization to perform action "
                f"'{DEPLOYMENT}/write' over scope '{request.path}' or the scope is invalid. If access was recently "
                "granted, please refresh your credentials."
            )
            raise Refusal(403, "AuthorizationFailed", message)
        if self.struck("region", size):
            message = (
                f"Resource '{Id(request.path).name}' was disallowed by Azure: This policy maintains a set of best "
                "available regions where your subscription can deploy resources. The objective of this policy is to "
                "ensure that your subscription has full access to Azure services with optimal performance."
            )
            raise Refusal(403, "RequestDisallowedByAzure", message)
        if self.struck("throttled", size) and self.times > 0:
            self.times -= 1
            message = "The request is being throttled as the limit has been reached for operation type - Write."
            raise Refusal(429, "TooManyRequests", message, headers={"Retry-After": "1"})
        family, cores = next(((family, cores) for name, family, cores, _ in SIZES if name == size), ("", 0))
        used, limit = self.double.resources.usage.get(family, (0, 1_000))
        used += sum(self.cores(one) for one in self.others(request.path) if self.family(one) == family)
        needed = math.ceil(1.2 * count) * cores
        if self.struck("quota", size) or used + needed > limit:
            inner = {"errors": {"VmSize": [self.out_of_quota(size, used, limit, needed)]}, "type": None, "status": 400}
            text = f"The request is invalid. {json.dumps(inner)}"
            detail = {
                "code": "InferencingClientCreateDeploymentFailed",
                "message": f"InferencingClient HttpRequest error, {text}",
            }
            raise Refusal(400, "BadRequest", "The request is invalid.", details=[detail], additionalInfo=[])

    def out_of_quota(self, size: str, used: int, limit: int, needed: int) -> str:
        return (
            f"Not enough quota available for {size} in SubscriptionId {self.double.subscription}. Current usage/limit: "
            f"{used}/{limit}. Additional needed: {needed} Please see troubleshooting guide, available here: "
            "https://aka.ms/oe-tsg#error-outofquota"
        )

    def others(self, path: str) -> list[Resource]:
        found = self.double.store.of_type(DEPLOYMENT)
        return [one for one in found if one["id"].lower() != Id(path).path.lower()]

    @staticmethod
    def family(deployment: Resource) -> str:
        return next((family for name, family, *_ in SIZES if name == deployment["properties"]["instanceType"]), "")

    @staticmethod
    def cores(deployment: Resource) -> int:
        cores = next((cores for name, _, cores, _ in SIZES if name == deployment["properties"]["instanceType"]), 0)
        return math.ceil(1.2 * (deployment["sku"].get("capacity") or 1)) * cores

    def begin(self, request: Request, resource: Resource) -> Response:
        """Accepted; what comes of it is seen by polling. A deployment that fails stays, as Failed."""
        steps: list[Any] = ["Updating", "Succeeded"]
        size = resource["properties"].get("instanceType", "") if resource["type"] == DEPLOYMENT else None
        if size is not None:
            if self.struck("cut", size):
                steps = [Cut()] * self.times + steps
            if error := self.late_error(resource, size):
                steps = ["InProgress", {"status": "Failed", "error": error}]
                resource["properties"]["provisioningState"] = "Failed"
        addresses = {} if resource["type"] == DEPLOYMENT else {"scoringUri": None, "swaggerUri": None}
        running = resource | {"properties": resource["properties"] | {"provisioningState": "Creating"} | addresses}
        return Response(201, running, self.double.store.start(*steps) | self.double.store.location(request))

    def late_error(self, resource: Resource, size: str) -> dict[str, Any] | None:
        if self.struck("quota-async", size):
            message = (
                "OutOfQuota: Not enough cluster CPU quota. The amount of additional CPU quota requested is 8, and you "
                "are currently using 14. Your amount of maximum quota is 20. Please see troubleshooting "
                "guide, available here: https://aka.ms/oe-tsg#error-outofquota"
            )
            return {"code": "OutOfQuota", "message": message}
        if self.struck("image", size):
            message = (
                f"Image build failed for deployment {resource['name']}. For more details, check its log: "
                "azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.imgbldrun_1/std_log.txt. "
                "Please see troubleshooting guide, available here: https://aka.ms/oe-tsg#error-imagebuildfailure"
            )
            return {"code": "ImageBuildFailure", "message": message}
        return None

    def end(self, request: Request, resource: Resource) -> Response:
        if resource["type"] == DEPLOYMENT:
            endpoint = self.double.store.get(Id(resource["id"]).parent) or {"properties": {}}
            for kind in ("traffic", "mirrorTraffic"):
                if share := (endpoint["properties"].get(kind) or {}).get(resource["name"], 0):
                    message = (
                        f"Deployment {resource['name']} receives {share} percent of the {kind}; cannot be deleted."
                    )
                    raise Refusal(400, "BadArgument", message)
        else:
            self.keys.pop(resource["name"], None)
        self.double.store.delete(resource["id"])
        return Response(
            202, "null", self.double.store.start_both("Updating", "Succeeded") | {"Content-Type": "application/json"}
        )

    def get_logs(self, request: Request, **_: str) -> Any:
        lines = self.logs.splitlines()[-int(request.body.get("tail") or 500) :]
        return {"content": "\n".join(lines) + "\n"}

    def metrics(self, request: Request, name: str, **_: str) -> Any:
        """Azure Monitor's: a day of hours, with the calls in the last one."""
        hours = [{"timeStamp": now(), "average": 0.0} for _ in range(23)]
        series = {"metadatavalues": [], "data": [*hours, {"timeStamp": now(), "average": self.calls[name] / 60}]}
        return {
            "value": [{"name": {"value": request.query.get("metricnames")}, "unit": "Count", "timeseries": [series]}]
        }

    # -- the scoring address -----------------------------------------------------------------------------------------

    def score(self, request: Request) -> Any:
        """As Azure's gateway: keys, traffic, the deployment header, 424 for whatever fails behind it."""
        found = [one for one in self.double.store.of_type(ENDPOINT) if one["name"] == request.account]
        if not found:
            return Response(404, "no such endpoint")
        endpoint = found[0]
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if (
            endpoint["properties"].get("authMode", "").lower() == "key"
            and given not in self.keys[request.account].values()
        ):
            return Response(401, "key_auth_access_denied")
        deployments = {one["name"] for one in self.double.store.collection(endpoint["id"] + "/deployments")}
        traffic = {name: share for name, share in endpoint["properties"]["traffic"].items() if share}
        chosen = request.headers.get("azureml-model-deployment")
        if chosen is None and traffic:
            chosen = random.choices(list(traffic), list(traffic.values()))[0]
        if chosen is None or chosen not in deployments:
            return Response(
                404,
                "No valid deployments to route to. Please check that the endpoint has at least one deployment "
                "with positive weight values or use a deployment specific header to route.",
            )
        self.calls[request.account] += 1
        try:
            return Response(200, self.answer(chosen, request.body), {"azureml-model-deployment": chosen})
        except Exception as error:
            reason = {"ms-azureml-model-error-statuscode": "500", "ms-azureml-model-error-reason": type(error).__name__}
            return Response(424, str(error), {"azureml-model-deployment": chosen} | reason)
