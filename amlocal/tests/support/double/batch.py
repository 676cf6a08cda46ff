"""Batch endpoints, their deployments, and the jobs that invocations start.

The answers are those of the recordings of azure-ai-ml's own tests (`batch_services`).
"""

import uuid
from typing import TYPE_CHECKING, Any

from . import defaults
from .arm import ML, Id, Resource, now
from .certificate import SERVICES
from .web import Refusal, Request, Response

if TYPE_CHECKING:
    from . import Double

ENDPOINT = f"{ML}/workspaces/batchEndpoints"
DEPLOYMENT = f"{ENDPOINT}/deployments"
# What jobs are listed at has a prefix of its own.
PLACE = (
    "/mferp/managementfrontend/subscriptions/{subscription}/resourceGroups/{group}/providers/"
    + ML
    + "/workspaces/{workspace}/batchEndpoints/{name}"
)
COMPUTE = dict.fromkeys(("instanceCount", "location", "instanceType", "properties"))


class BatchEndpoints:
    """`invocations`: every body that was sent to an endpoint, with the endpoint's and the deployment's name."""

    def __init__(self, double: "Double") -> None:
        self.double = double
        self.invocations: list[tuple[str, str, Any]] = []
        self.jobs: list[tuple[str, str, dict[str, Any]]] = []
        store = double.store
        store.allow(ENDPOINT, DEPLOYMENT)
        store.hook(store.before_put, ENDPOINT)(self.complete_endpoint)
        store.hook(store.after_put, ENDPOINT)(self.begin)
        store.hook(store.before_delete, ENDPOINT)(self.end)
        store.hook(store.before_put, DEPLOYMENT)(self.complete_deployment)
        store.hook(store.after_put, DEPLOYMENT)(self.begin)
        store.hook(store.before_delete, DEPLOYMENT)(self.end)
        double.route("GET", PLACE + "/jobs")(self.list_jobs)
        double.route("GET", PLACE + "/deployments/{deployment}/jobs")(self.list_jobs)
        double.route("POST", "/jobs", service="inference")(self.invoke)

    def complete_endpoint(self, request: Request, draft: Resource) -> None:
        place = Id(request.path)
        properties = draft["properties"]
        properties["authMode"] = "AADToken"
        before = self.double.store.get(request.path)
        kept = before["properties"]["defaults"] if before else {"deploymentName": None}
        properties["defaults"] = properties.get("defaults") or kept
        named = properties["defaults"].get("deploymentName")
        there = [one["name"] for one in self.double.store.collection(f"{place.path}/deployments")]
        if named and named not in there:
            raise Refusal(400, "UserError", f"The deployment {named} set as default does not exist.")
        properties["properties"] = (properties.get("properties") or {}) | {
            "BatchEndpointCreationApiVersion": "2023-10-01",
            "azureml.onlineendpointid": place.path,
        }
        properties |= {
            "scoringUri": f"https://{place.name}.{SERVICES['inference']}:{self.double.port}/jobs",
            "swaggerUri": None,
            "provisioningState": "Succeeded",
        }

    def complete_deployment(self, request: Request, draft: Resource) -> None:
        place = Id(request.path)
        if self.double.store.get(place.parent) is None:
            raise Refusal(404, "UserError", f"An endpoint with the name '{place.names[-2]}' does not exist.")
        draft["properties"] = defaults.filled(draft["properties"], defaults.BATCH_DEPLOYMENT)
        draft["properties"]["provisioningState"] = "Succeeded"

    def begin(self, request: Request, resource: Resource) -> Response:
        running = resource | {"properties": resource["properties"] | {"provisioningState": "Creating"}}
        if resource["type"] == ENDPOINT:
            running["properties"]["scoringUri"] = None
        return Response(201, running, self.double.store.start("Updating", "Succeeded"))

    def end(self, request: Request, resource: Resource) -> Response:
        self.double.store.delete(resource["id"])
        return Response(202, "null", self.double.store.start("Updating", "Succeeded"))

    def invoke(self, request: Request) -> Any:
        found = [one for one in self.double.store.of_type(ENDPOINT) if one["name"] == request.account]
        if not found:
            return Response(404, {"error": {"code": "UserError", "message": "no such endpoint"}})
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return Response(401, {"error": {"code": "UserError", "message": "no token"}})
        default = found[0]["properties"]["defaults"]["deploymentName"]
        deployment = request.headers.get("azureml-model-deployment") or default
        if not deployment:
            return Response(404, {"error": {"code": "UserError", "message": "Set a default deployment."}})
        self.invocations.append((request.account, deployment, request.body))
        name = f"batchjob-{uuid.uuid4()}"
        place = f"{found[0]['id']}/deployments/{deployment}"
        given = (request.body or {}).get("properties") or {}
        tags = {"azureml.batchrun": "true", "azureml.deploymentname": deployment, "azureml.jobtype": "azureml.batchjob"}
        scope = "/".join(place.split("/")[:9])
        addresses = {
            "Tracking": f"azureml://127.0.0.1:{self.double.port}/mlflow/v1.0{scope}?",
            "Studio": f"https://ml.azure.com/runs/{name}?wsid={scope}",
        }
        kept = (self.double.store.get(place) or {"properties": {}})["properties"]
        job = {
            "id": f"{place}/jobs/{name}",
            "name": name,
            "type": f"{DEPLOYMENT}/jobs",
            "properties": {
                "provisioningState": "Succeeded",
                "status": "Preparing",
                "inputData": {
                    key: {"description": None, "mode": "ReadOnlyMount"} | one
                    for key, one in (given.get("inputData") or {}).items()
                },
                "compute": defaults.filled({"target": kept.get("compute"), "isLocal": False}, COMPUTE),
                "output": {"datastoreId": None, "path": None},
                "retrySettings": kept.get("retrySettings"),
                "interactionEndpoints": {
                    key: {"jobEndpointType": key, "endpoint": address, "port": None, "properties": None}
                    for key, address in addresses.items()
                },
                "tags": {"inputType": "input_data", "outputType": "output_data"} | tags,
                "properties": {"runSource": "Unavailable", "runType": "HTTP"},
                "name": name,
            },
            "systemData": dict.fromkeys(("createdAt", "lastModifiedAt"), now())
            | dict.fromkeys(("createdBy", "lastModifiedBy"), "double"),
        }
        self.jobs.append((request.account, deployment, job))
        return Response(201, job)

    def list_jobs(self, request: Request, name: str, deployment: str | None = None, **_: str) -> Any:
        return {"value": [job for endpoint, by, job in self.jobs if endpoint == name and deployment in (None, by)]}
