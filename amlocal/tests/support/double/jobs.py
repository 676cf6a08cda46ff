"""Jobs, and the run history that clients follow them by.

Nothing is run. A job goes through `script`, one status for each look that a client takes at it, so that no test waits
for a clock; what it leaves behind (log, outputs, error) is what a test says it leaves.
"""

import copy
import re
from typing import TYPE_CHECKING, Any

from . import defaults
from .arm import ML, Id, Resource, now
from .certificate import SERVICES
from .web import Request, Response, ml_refusal
from .workspace import CONTAINER, guid

if TYPE_CHECKING:
    from . import Double

KIND = f"{ML}/workspaces/jobs"
WORKSPACE = "/subscriptions/{subscription}/resourceGroups/{group}/providers/" + ML + "/workspaces/{workspace}"
HISTORY = "/history/v1.0" + WORKSPACE
TERMINAL = ("Completed", "Failed", "Canceled", "NotResponding")
ARTIFACTS = "azureml"  # the container of the data store workspaceartifactstore
FAILED = (
    "Execution failed. User process 'python' exited with status code 1. Please check log file 'user_logs/std_log.txt' "
    "for error details."
)

# What run history has a key for, and nothing to say about.
NOT_TOLD = (
    *("token", "tokenExpiryTimeUtc", "error", "warnings", "parentRunUuid", "lastStartTimeUtc", "currentComputeTime"),
    *("effectiveStartTimeUtc", "cancelationReason", "currentAttemptId", "scheduleId", "name", "scriptName", "target"),
    *("runDefinition", "jobSpecification", "primaryMetricName", "createdFrom", "completeUri", "diagnosticsUri"),
    *("computeRequest", "compute", "queueingInfo"),
)
NO_VIRTUAL_CLUSTER = (
    "The virtual cluster does not exist. Please ensure that you submitted a job to a virtual cluster which exists in "
    "the same cloud. A virtualcluster created in one Cloud cannot be used to submit jobs to another cloud."
)


class Job:
    """One job's way through its script."""

    def __init__(self, resource: Resource, script: list[str], parent: "Job | None" = None) -> None:
        self.resource, self.parent = resource, parent
        self.script = script or ([] if parent else ["Completed"])  # a child's: as its parent's says
        self.children: list[Job] = []
        self.index = self.polls = self.shows = 0
        self.canceled = False
        self.created = now()

    @property
    def name(self) -> str:
        return self.resource["name"]

    @property
    def properties(self) -> dict[str, Any]:
        return self.resource["properties"]

    @property
    def status(self) -> str:
        if self.canceled:
            return "Canceled"
        if self.parent and not self.script:
            return self.parent.status_of_child(self)
        return self.script[self.index]

    @property
    def computes(self) -> list[str]:
        """Where the steps of a pipeline run, by name."""
        nodes = (self.properties.get("jobs") or {}).values()
        return sorted({Id(str(node["computeId"])).name for node in nodes if node.get("computeId")})

    def status_of_child(self, child: "Job") -> str:
        """Children are where their parent is; of a failed pipeline the second step failed, or the only one."""
        if self.status != "Failed":
            return self.status
        at, failed = self.children.index(child), min(1, len(self.children) - 1)
        return "Completed" if at < failed else "Failed" if at == failed else "NotStarted"

    def polled(self) -> None:
        """Somebody streams it: every look is a step, the first one shows the first status."""
        self.index = max(self.index, min(self.polls, len(self.script) - 1))
        self.polls += 1

    def shown(self) -> None:
        """Somebody asked for it once: the same, but the end is not seen before two looks more, so that a client which
        shows a job before it streams it still finds it running."""
        last = len(self.script) - 1
        self.index = max(self.index, min(self.shows, last - 1 if self.shows < last + 2 else last))
        self.index = max(self.index, 0)
        self.shows += 1


class Jobs:
    """What tests set:

    script    the statuses a new job goes through; the last one stays. ["Queued"] is a queue that never moves.
    log       what user_logs/std_log.txt says
    message   why a failed job failed
    outputs   for each output's name the files it holds once the job is completed: {"verdict": {"verdict.json": b"{}"}}
    """

    def __init__(self, double: "Double") -> None:
        self.double = double
        self.script: list[str] = ["Queued", "Starting", "Running", "Completed"]
        self.log = "epoch 1\nepoch 2\n"
        self.message = FAILED
        self.outputs: dict[str, dict[str, bytes]] = {}
        self.jobs: dict[str, Job] = {}
        store = double.store
        store.allow(KIND)
        store.hook(store.before_put, KIND)(self.complete)
        store.hook(store.after_put, KIND)(self.begin)
        store.hook(store.before_delete, KIND)(self.remove)
        place = WORKSPACE + "/jobs/{name}"
        double.route("GET", place)(self.show)
        double.route("GET", WORKSPACE + "/jobs")(self.list)
        double.route("POST", place + "/cancel")(self.cancel)
        double.route("GET", HISTORY + "/runs/{name}")(self.get_run)
        double.route("PATCH", HISTORY + "/experiments/{experiment}/runs/{name}")(self.patch_run)
        double.route("GET", HISTORY + "/runs/{name}/details")(self.details)
        double.route("GET", HISTORY + "/runs/{name}/children")(self.children)
        double.route("GET", HISTORY + "/runs/{name}/serviceinstances/{node}")(self.instances)
        double.route("POST", HISTORY + "/rundata")(self.run_data)
        double.route("POST", "/data/v1.0" + WORKSPACE + "/dataversion/batchGetResolvedUris")(self.resolve_data)
        double.route("POST", "/modelregistry/v1.0" + WORKSPACE + "/models/batchGetResolvedUris")(self.resolve_models)

    def find(self, name: str) -> Job:
        if name not in self.jobs:
            raise ml_refusal(404, f"Run {name} was not found", "NotFound", "JobNotFound")
        return self.jobs[name]

    # -- ARM ---------------------------------------------------------------------------------------------------------

    def complete(self, request: Request, draft: Resource) -> Response | None:
        """What the service fills in. A job that is there is not run again: only tags and names change."""
        name = Id(request.path).name
        if name in self.jobs:
            job = self.jobs[name]
            for kept in ("tags", "displayName", "description", "isArchived", "properties"):
                if draft["properties"].get(kept) is not None:
                    job.properties[kept] = draft["properties"][kept]
            return Response(200, self.view(job))
        properties = draft["properties"]
        compute = properties.get("computeId") or ""
        if "/computes/" in compute and self.double.store.get(compute) is None:
            # The client itself looks for the clusters of a pipeline, not for those of other jobs.
            raise ml_refusal(400, f"{properties.get('experimentName')}: Compute Not Found for run ID : {name}")
        if "/virtualclusters/" in compute.lower():
            raise ml_refusal(400, NO_VIRTUAL_CLUSTER)
        if properties.get("jobType") == "Spark" and request.query.get("api-version", "2025") < "2022-10":
            self.refuse_without_identity(request, draft)
        if request.query.get("api-version", "2025") >= "2025":  # older ones still took it
            self.refuse_output_versions(properties)
        for node in (properties.get("jobs") or {}).values():
            self.refuse_absent_component(str(node.get("componentId") or ""))
        properties["displayName"] = properties.get("displayName") or name
        wsid = "/".join(request.path.split("/")[:9])
        tracking = {
            "jobServiceType": "Tracking",
            "endpoint": f"azureml://127.0.0.1:{self.double.port}/mlflow/v1.0{wsid}?",
        }
        properties["services"] = (properties.get("services") or {}) | {
            **({} if properties["jobType"] == "Sweep" else {"Tracking": tracking}),
            "Studio": {"jobServiceType": "Studio", "endpoint": f"https://ml.azure.com/runs/{name}?wsid={wsid}"},
        }
        draft["properties"] = defaults.job(properties, name)
        store = self.double.store.get(f"{wsid}/datastores/workspaceartifactstore") or {"properties": {}}
        if (store["properties"].get("credentials") or {}).get("credentialsType", "None") == "None":
            # Assumed, since all recordings of jobs are of workspaces with keys: azure-ai-ml follows a job's log by its
            # default output, which it can open with a key only.
            draft["properties"]["outputs"].pop("default", None)
        if trial := draft["properties"].get("trial"):
            named = re.fullmatch(r"azureml:([^:/]+):([^:/]+)", str(trial.get("environmentId")))
            if named:
                trial["environmentId"] = f"{wsid}/environments/{named[1]}/versions/{named[2]}"
        return None

    @staticmethod
    def refuse_without_identity(request: Request, draft: Resource) -> None:
        """A Spark job ran as an identity of the workspace before it could run as its author."""
        if not draft["properties"].get("identity"):
            said = f"User assigned identity  is not attached to AML workspace {Id(request.path).names[-2]}."
            raise ml_refusal(404, said, "NotFound", "UserAssignedIdentityNotFound")

    @staticmethod
    def refuse_output_versions(properties: Resource) -> None:
        """A command's output may be given a name, not a version."""
        detail = {
            "code": "RequestInvalid",
            "message": "Could not find member 'assetVersion' on object of type 'UriFolderJobOutput'. Path "
            "'assetVersion', line 1, position 604.",
            "details": [],
            "additionalInfo": [],
        }
        outputs = (properties.get("outputs") or {}).values()
        found = [detail for one in outputs if one and one.get("assetVersion") is not None]
        if properties.get("jobType") == "Command" and found:
            raise ml_refusal(400, "Request is invalid and/or missing fields.", "RequestInvalid", details=found)

    def refuse_absent_component(self, id: str) -> None:
        place = Id(id)
        if place.type.lower() == f"{ML}/workspaces/components/versions".lower() and self.double.store.get(id) is None:
            said = f"Not found component {place.names[-2]} (version: {place.name})."
            raise ml_refusal(404, f"key: {id}, Message: {said}", code="NotFound")

    def begin(self, request: Request, resource: Resource) -> Response:
        job = self.jobs[resource["name"]] = Job(resource, list(self.script))
        for step, node in (resource["properties"].get("jobs") or {}).items():
            name = guid(resource["name"] + step)
            properties = {
                "jobType": "Command",
                "displayName": step,
                "experimentName": resource["properties"]["experimentName"],
                "services": copy.deepcopy(resource["properties"]["services"]),
                "tags": {},
                "properties": {"azureml.parentRunId": resource["name"], "azureml.moduleName": step},
                "command": node.get("componentId", ""),
                "componentId": node.get("componentId"),
            }
            child = {
                "id": f"{Id(resource['id']).parent}/jobs/{name}",
                "name": name,
                "type": KIND,
                "properties": properties,
            }
            job.children.append(Job(child, [], job))
            self.jobs[name] = job.children[-1]
        first = {"Command": "Starting", "Sweep": "Running"}.get(resource["properties"]["jobType"], "NotStarted")
        view = self.view(job)
        view["properties"] |= {"status": first}
        return Response(201, view, self.double.store.location(request) if request else {})  # a test begins one itself

    def view(self, job: Job) -> Resource:
        return job.resource | {"properties": job.properties | {"status": job.status}}

    def show(self, request: Request, name: str, **_: str) -> Any:
        job = self.find(name)
        job.shown()
        self.leave(job)
        return self.view(job)

    def list(self, request: Request, **_: str) -> Any:
        """Top-level jobs, newest first; the archived ones only when asked for."""
        kept = request.query.get("listViewType", "ActiveOnly")
        found = [self.view(job) for job in reversed(list(self.jobs.values())) if job.parent is None]
        if kept != "All":
            found = [one for one in found if one["properties"]["isArchived"] == (kept == "ArchivedOnly")]
        if tag := request.query.get("tag"):
            found = [one for one in found if tag in one["properties"]["tags"]]
        if kind := request.query.get("jobType"):
            found = [one for one in found if one["properties"]["jobType"].lower() == kind.lower()]
        return self.double.store.page(request, found)

    def cancel(self, request: Request, name: str, **_: str) -> Response:
        job = self.find(name)
        if job.status in TERMINAL:
            return Response(200)
        for one in (job, *job.children):
            one.canceled = True
        return Response(202, None, self.double.store.start_location())

    def remove(self, request: Request, resource: Resource) -> Response:
        self.jobs.pop(resource["name"], None)
        self.double.store.delete(resource["id"])
        return Response(202, None, self.double.store.start_location())

    # -- run history -------------------------------------------------------------------------------------------------

    def account(self, job: Job) -> str:
        workspace = self.double.store.get("/".join(job.resource["id"].split("/")[:9])) or {}
        return Id(workspace["properties"]["storageAccount"]).name

    def leave(self, job: Job) -> None:
        """The log as soon as it runs, its outputs once it is completed."""
        account = self.account(job)
        if job.status in ("Running", "Finalizing", *TERMINAL):
            self.double.blobs.put(account, ARTIFACTS, self.log_place(job), self.log)
        if job.status == "Completed":
            for output, files in self.outputs.items():
                for name, content in files.items():
                    self.double.blobs.put(account, CONTAINER, f"azureml/{job.name}/{output}/{name}", content)

    @staticmethod
    def log_place(job: Job) -> str:
        log = "logs/azureml/executionlogs.txt" if job.properties["jobType"] == "Pipeline" else "user_logs/std_log.txt"
        return f"ExperimentRun/dcid.{job.name}/{log}"

    def run(self, job: Job) -> dict[str, Any]:
        properties = job.properties
        who: dict[str, Any] = dict.fromkeys(("userIdp", "userAltSecId", "upn", "clientApplicationId", "applicationACR"))
        who |= {"userName": "double", "userObjectId": guid("double"), "userTenantId": guid("tenant")}
        who |= {"userPuId": "1003200000000000", "userIss": f"https://sts.windows.net/{guid('tenant')}/"}
        address = f"{self.double.url}/cancel/{job.name}"
        pipeline = properties["jobType"] == "Pipeline"
        run = {
            **dict.fromkeys(NOT_TOLD),
            "runNumber": 1,
            "createdBy": who,
            "lastModifiedBy": who,
            "userId": guid("double"),
            "revision": 1,
            "statusRevision": 1,
            "rootRunUuid": guid(job.parent.name if job.parent else job.name),
            "lastModifiedUtc": job.created,
            "computeDuration": "00:00:01",
            "duration": "00:00:01",
            "parameters": {},
            "actionUris": {"Cancel": address},
            "cancelUri": address,
            "uniqueChildRunComputeTargets": job.computes,
            "settings": {},
            "inputDatasets": [],
            "outputDatasets": [],
            "retainForLifetimeOfWorkspace": False,
            "runId": job.name,
            "runUuid": guid(job.name),
            "rootRunId": job.parent.name if job.parent else job.name,
            "parentRunId": job.parent.name if job.parent else None,
            "experimentId": guid(properties["experimentName"]),
            "dataContainerId": f"dcid.{job.name}",
            "status": job.status,
            "displayName": properties["displayName"],
            "description": properties.get("description"),
            "hidden": properties.get("isArchived", False),
            "runType": "azureml.PipelineRun" if pipeline else "azureml.scriptrun",
            "runTypeV2": {
                "orchestrator": "Pipeline" if pipeline else "",
                "traits": ["azureml.PipelineRun", "MFE", "HTTP", "DevPlatv2"] if pipeline else [],
                "attribution": None,
                "computeType": None if pipeline else "AmlCompute",
            },
            "createdUtc": job.created,
            "startTimeUtc": job.created,
            "endTimeUtc": now() if job.status in TERMINAL else None,
            "properties": properties["properties"],
            "tags": properties["tags"],
            "services": {
                name: {"type": one["jobServiceType"], "endpoint": one["endpoint"]}
                for name, one in properties["services"].items()
            },
            "inputs": {},
            "outputs": {
                name: {
                    "assetId": f"azureml://outputs/{job.name}/{name}",
                    "type": one.get("jobOutputType", "uri_folder"),
                }
                for name, one in (properties.get("outputs") or {}).items()
                if one and one.get("jobOutputType") in ("uri_folder", "uri_file") and name != "artifacts"
            },
        }
        if job.parent:
            run |= self.of_a_step(job, address)
        if job.status == "Failed":
            said = dict.fromkeys(("severity", "messageFormat", "referenceCode", "detailsUri", "target", "innerError"))
            said |= {"code": "UserError", "message": self.message, "messageParameters": {}, "details": []}
            around = dict.fromkeys(("correlation", "environment", "location"))
            around |= {"time": "0001-01-01T00:00:00+00:00", "componentName": "CommonRuntime"}
            run["error"] = {"error": said | {"debugInfo": None}, **around}
            run["warnings"] = [{"source": "AzureMLCompute", "message": "AzureMLCompute job failed"}]
        return run

    @staticmethod
    def of_a_step(job: Job, address: str) -> dict[str, Any]:
        """What differs in the run of a pipeline's step."""
        assert job.parent
        compute = Id(str(job.properties.get("computeId") or "/computes/serverless")).path.rpartition("/")[2]
        traits = ["azureml.StepRun", "scriptRun", "remote", "AlmostCommonRuntime", "OsType:Linux", "CommonRuntime"]
        about = dict.fromkeys(("vmSize", "instanceType", "priority", "region", "armId", "properties"))
        about |= {"target": compute, "targetType": "amlcompute", "instanceCount": 1, "gpuCount": 0}
        return {
            "parentRunUuid": guid(job.parent.name),
            "currentAttemptId": 1,
            "name": "azureml_anonymous",
            "runType": "azureml.StepRun",
            "runTypeV2": {"orchestrator": "", "traits": traits, "attribution": "Aether", "computeType": "AmlcTrain"},
            "actionUris": {"Cancel": address, "Diagnose": ""},
            "target": compute,
            "diagnosticsUri": "",
            "computeRequest": {"nodeCount": 1, "gpuCount": 0},
            "compute": about,
            "retainForLifetimeOfWorkspace": None,
            "inputs": None,
            "outputs": None,
        }

    def get_run(self, request: Request, name: str, **_: str) -> Any:
        return self.run(self.find(name))

    def details(self, request: Request, name: str, **_: str) -> Any:
        job = self.find(name)
        job.polled()
        self.leave(job)
        logs = {}
        if job.status not in ("NotStarted", "Queued", "Preparing", "Provisioning", "Starting"):
            place = self.log_place(job)
            host = f"https://{self.account(job)}.{SERVICES['blob']}:{self.double.port}"
            logs[place.split("/", 2)[2]] = f"{host}/{ARTIFACTS}/{place}?sv=2024&sr=b&sp=r&sig=double"
        return self.run(job) | {"logFiles": logs, "inputDatasets": [], "outputDatasets": []}

    def children(self, request: Request, name: str, **_: str) -> Any:
        return {"value": [self.run(child) for child in self.find(name).children]}

    def patch_run(self, request: Request, name: str, **_: str) -> Any:
        """What `jobs.update` and `jobs.archive` send; tags and properties are merged."""
        properties = self.find(name).properties
        body = request.body or {}
        for ours, theirs in (("displayName", "displayName"), ("description", "description"), ("isArchived", "hidden")):
            if body.get(theirs) is not None:
                properties[ours] = body[theirs]
        for both in ("tags", "properties"):
            properties[both] |= body.get(both) or {}
        return self.run(self.find(name))

    def instances(self, request: Request, **_: str) -> Any:
        return {"instances": {}}

    def run_data(self, request: Request, **_: str) -> Any:
        run = self.run(self.find(request.body["runId"]))
        return {"runMetadata": run, "jobSpecification": None, "systemSettings": None}

    def resolve_data(self, request: Request, **_: str) -> Any:
        found = {}
        for asset in request.body["values"]:
            job, output = asset.removeprefix("azureml://outputs/").split("/")
            uri = f"azureml://datastores/workspaceblobstore/paths/azureml/{job}/{output}/"
            found[asset] = {"uri": uri, "type": "uri_folder"}
        return {"values": found}

    def resolve_models(self, request: Request, **_: str) -> Any:
        return {"values": {}}
