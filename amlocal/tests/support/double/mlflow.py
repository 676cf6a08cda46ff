"""Azure's MLflow server: the routes that azureml-mlflow calls, answered from a real MLflow store.

Tracking and registry are MLflow's own request handlers on SQLite, less what Azure lacks, with Azure's limits and errors
of its form; artifacts are blobs that Azure's run history hands out signed addresses for. Where that is known from:

    logged-models: 404, empty          Azure/azure-sdk-for-python#44896
    the form of an error, filters      Azure/azure-sdk-for-python#42155, mlflow/mlflow#15329
    an artifact is written once        lightly-ai/lightly-train#256
    a version is created without tags  mlflow/mlflow#8008
    what a registry can do             learn.microsoft.com/azure/machine-learning/how-to-manage-models-mlflow
    limits of a run                    learn.microsoft.com/azure/machine-learning/resource-limits-capacity

Aliases came with MLflow 2.3 and are in none of Azure's lists; that they are refused with 404 is assumed.
"""

import datetime
import itertools
import json
import logging
import re
import threading
import uuid
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import quote

from .arm import ML, now
from .identity import token
from .web import Refusal, Request, Response

if TYPE_CHECKING:
    from . import Double

WORKSPACE = "/subscriptions/{subscription}/resourceGroups/{group}/providers/" + ML + "/workspaces/{workspace}"

# What Azure's server knows of /api/2.0/mlflow/...
TRACKING = """
GET experiments/get experiments/get-by-name runs/get metrics/get-history
POST experiments/create experiments/search experiments/update experiments/set-experiment-tag
POST runs/create runs/update runs/delete runs/restore runs/search
POST runs/log-metric runs/log-parameter runs/log-batch runs/set-tag runs/delete-tag
"""
REGISTRY = """
GET registered-models/get registered-models/search registered-models/get-latest-versions
GET model-versions/get model-versions/search
POST registered-models/create registered-models/set-tag registered-models/get-latest-versions
POST model-versions/create model-versions/set-tag model-versions/transition-stage
PATCH registered-models/update model-versions/update
DELETE registered-models/delete-tag model-versions/delete model-versions/delete-tag
"""
# What it answers with 404, or refuses.
MISSING = ("logged-models{rest*}", "registered-models/alias")
REFUSED = {
    ("POST", "registered-models/rename"): "Renaming a registered model is not supported.",
    ("DELETE", "registered-models/delete"): "Deleting a registered model is not supported, delete its versions.",
}

METRICS = 50  # names in one run
TAGS = 50  # in one run
TAG = 1000  # characters of a run's tag

STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}  # of a job and its run

LOCK = threading.RLock()  # MLflow's handlers find their store in a global variable


class MLflow:
    """A workspace's runs, their files and its registered models.

    downloads: the form of the address at which the registry says a model's files are: "run" (the run's own, as it was
    registered) or "asset" (azureml://artifacts/...), for azureml-mlflow reads both.
    page: versions in one answer to a search.
    metrics: what jobs log, for the double runs none: {"train": {"val_accuracy": [0.8, 0.9]}}, by their display names.
    """

    def __init__(self, double: "Double") -> None:
        self.double = double
        self.downloads = "run"
        self.page = 100
        self.metrics: dict[str, dict[str, list[float]]] = {}
        self.artifacts: dict[tuple[str, str], dict[str, str]] = {}  # of an origin and a container: path -> when made
        self._backend: Backend | None = None
        self._batches = itertools.count(1)

        for line in (TRACKING + REGISTRY).split("\n"):
            method, *calls = line.split() or [""]
            for call in calls:
                self.serve(method, call, getattr(self, re.sub(r"\W", "_", call), None) or self.forward(call))
        self.serve("POST", "runs/log-batch-async", self.log_batch_async, "preview/mlflow")
        self.serve("GET", "runs/get-run-data-status", lambda request: {"is_complete": True}, "preview/mlflow")
        self.serve("GET", "model-versions/get-download-uri", self.download_uri)
        for call in MISSING:
            for method in ("GET", "POST", "PATCH", "DELETE"):
                self.serve(method, call, lambda request, **_: Response(404))
        for (method, call), message in REFUSED.items():
            self.serve(method, call, self.refuse(message))

        for kind in ("experiments", "experimentids"):
            run = f"/history/v1.0{WORKSPACE}/{kind}/{{experiment}}/runs/{{run}}"
            double.route("GET", run + "/token")(self.token)
            double.route("GET", run + "/artifacts")(self.list)
            double.route("GET", run + "/artifacts/contentinfo")(self.content)
            double.route("POST", run + "/artifacts/batch/metadata")(self.create)
        container = f"/artifact/v2.0{WORKSPACE}/artifacts/{{origin}}/{{container}}"
        double.route("GET", container)(self.list)
        double.route("GET", container + "/contentinfo")(self.content)
        double.route("POST", container + "/batch/metadata")(self.create)

    def serve(self, method: str, call: str, handler: Any, name: str = "mlflow") -> None:
        def answer(request: Request, subscription: str, group: str, workspace: str, **rest: str) -> Any:
            if not request.headers.get("authorization", "").startswith("Bearer "):
                raise Refusal(401, "Unauthorized", "No token was sent.")
            with LOCK:
                self.adopt()
                return handler(request, **rest)

        self.double.route(method, f"/mlflow/v2.0{WORKSPACE}/api/2.0/{name}/{call}")(answer)

    # -- what a test uses --------------------------------------------------------------------------------------------

    @property
    def backend(self) -> "Backend":
        with LOCK:
            if self._backend is None:
                self._backend = Backend(self.double.folder / "mlflow.db", f"azureml:{self.base}/experiments")
            return self._backend

    @property
    def base(self) -> str:
        return f"//127.0.0.1:{self.double.port}/mlflow/v2.0{self.double.workspace_id}"

    @property
    def tracking_uri(self) -> str:
        """As the workspace shows it, and as jobs get it: with /v1.0, whatever the version of MLflow."""
        return "azureml:" + self.base.replace("/v2.0", "/v1.0", 1)

    def start_run(
        self, name: str | None = None, experiment: str = "digits-training", parent: str = ""
    ) -> dict[str, str]:
        """A run as a job that begins has one; returns the variables that Azure starts the job's process with."""
        with LOCK:
            name = name or str(uuid.uuid4())
            tags = {"mlflow.parentRunId": parent} if parent else {}
            run = self.backend.create_run(self.experiment(experiment), name, tags)
            job = token("https://ml.azure.com")
            return {
                **self.double.environment,
                "AZUREML_ARM_PROJECT_NAME": experiment,
                "AZUREML_ARM_RESOURCEGROUP": self.double.resource_group,
                "AZUREML_ARM_SUBSCRIPTION": self.double.subscription,
                "AZUREML_ARM_WORKSPACE_NAME": self.double.workspace,
                "AZUREML_EXPERIMENT_ID": run.info.experiment_id,
                "AZUREML_ROOT_RUN_ID": parent or name,
                "AZUREML_RUN_ID": name,
                "AZUREML_RUN_TOKEN": job,
                "AZUREML_SERVICE_ENDPOINT": self.double.url,
                "MLFLOW_EXPERIMENT_ID": run.info.experiment_id,
                "MLFLOW_EXPERIMENT_NAME": experiment,
                "MLFLOW_RUN_ID": name,
                "MLFLOW_TRACKING_TOKEN": job,
                "MLFLOW_TRACKING_URI": self.tracking_uri,
            }

    def files(self, run: str) -> set[str]:
        """The artifacts of a run."""
        return set(self.artifacts.get(("ExperimentRun", f"dcid.{run}"), {}))

    # -- tracking ----------------------------------------------------------------------------------------------------

    def experiment(self, name: str) -> str:
        found = self.backend.tracking.get_experiment_by_name(name)
        return found.experiment_id if found else self.backend.tracking.create_experiment(name, self.place())

    def place(self) -> str:
        return f"azureml:{self.base}/experiments/{uuid.uuid4()}/runs"

    def adopt(self) -> None:
        """Every job is a run, with the same name for its id; a pipeline's steps are runs below its own."""
        for job in list(self.double.jobs.jobs.values()):
            shown = job.properties["displayName"]
            if not self.backend.knows(job.name):
                tags = {"mlflow.parentRunId": job.parent.name} if job.parent else {}
                self.backend.create_run(self.experiment(job.properties["experimentName"]), job.name, tags, shown)
                for metric, values in self.metrics.get(shown, {}).items():
                    self.backend.log_metric(job.name, metric, values)
            if job.status in STATUS:
                self.backend.end_run(job.name, STATUS[job.status], shown)

    def forward(self, call: str) -> Any:
        return lambda request: self.backend.call(request, call)

    def experiments_create(self, request: Request) -> Response:
        return self.backend.call(request, "experiments/create", request.body | {"artifact_location": self.place()})

    def runs_log_metric(self, request: Request) -> Response:
        self.check(request.body["run_id"], metrics={request.body["key"]})
        return self.backend.call(request, "runs/log-metric")

    def runs_set_tag(self, request: Request) -> Response:
        self.check(request.body["run_id"], tags={request.body["key"]: request.body.get("value", "")})
        return self.backend.call(request, "runs/set-tag")

    def runs_log_batch(self, request: Request) -> Response:
        metrics = {metric["key"] for metric in request.body.get("metrics", ())}
        tags = {tag["key"]: tag.get("value", "") for tag in request.body.get("tags", ())}
        self.check(request.body["run_id"], metrics, tags)
        return self.backend.call(request, "runs/log-batch")

    def log_batch_async(self, request: Request) -> Any:
        answer = self.runs_log_batch(request)
        tracked = f"batch-{next(self._batches)}" if request.body.get("metrics") else ""
        return {"batch_tracking_id": tracked} if answer.status == 200 else answer

    def check(self, run: str, metrics: set[str] = frozenset(), tags: dict[str, str] | None = None) -> None:  # type: ignore[assignment]
        """The limits of a run. Raises Refusal, in the form of Azure's errors, when they are passed."""
        logged = self.backend.tracking.get_run(run).data
        if len(metrics | set(logged.metrics)) > METRICS:
            raise failure(400, "UserError", f"A run can have {METRICS} names of metrics at most.")
        if len(set(tags or {}) | set(logged.tags)) > TAGS:
            raise failure(400, "UserError", f"A run can have {TAGS} tags at most.")
        for key, value in (tags or {}).items():
            if len(value) > TAG:
                raise failure(400, "UserError", f"The value of the tag {key} is longer than {TAG} characters.")

    def token(self, request: Request, run: str, **_: str) -> Any:
        later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        return {"token": token("https://ml.azure.com"), "expiryTimeUtc": later.isoformat()}

    # -- registry ----------------------------------------------------------------------------------------------------

    def registered_models_search(self, request: Request) -> Response:
        self.check_filter(request)
        return self.backend.call(request, "registered-models/search")

    def model_versions_search(self, request: Request) -> Response:
        self.check_filter(request)
        query = {**request.query, "max_results": min(self.page, int(request.query.get("max_results", self.page)))}
        return self.backend.call(replace(request, query=query), "model-versions/search")

    def check_filter(self, request: Request) -> None:
        """Names can be searched for, and nothing else."""
        wanted = request.query.get("filter", "")
        if wanted and not re.fullmatch(r"\s*name\s*=\s*('[^']*'|\"[^\"]*\")\s*", wanted):
            message = "Currently unsupported filter string format (we currently do not support OR)."
            raise failure(400, "UserError", f"{message} Provided filter string: {wanted}")

    def model_versions_create(self, request: Request) -> Response:
        if request.body.get("tags"):
            raise failure(400, "ValidationError", "The request is invalid.")
        source = request.body.get("source", "")
        known = re.match(rf"azureml:{re.escape(self.base)}/experiments/[^/]+/runs/([^/]+)/artifacts/(.+)", source)
        known = known or re.match(r"azureml://artifacts/ExperimentRun/dcid\.([^/]+)/(.+)", source)
        if not known:
            form = "azureml://artifacts/<origin>/<container>/<artifact_prefix>"
            message = f"Model source from file must be in the following format: {form}. Provided model source: {source}"
            raise failure(400, "ValidationError", message)
        run, path = known[1], known[2].strip("/")
        if f"{path}/MLmodel" not in self.files(run):
            raise failure(404, "UserError", f"No MLmodel was found in {path} of run {run}.", "RESOURCE_DOES_NOT_EXIST")
        answer = self.backend.call(request, "model-versions/create")
        self.show(request, answer)
        return answer

    def model_versions_set_tag(self, request: Request) -> Response:
        answer = self.backend.call(request, "model-versions/set-tag")
        self.show(request, answer)
        return answer

    def show(self, request: Request, answer: Response) -> None:
        """What MLflow registers is a model of the workspace: ARM shows it too."""
        if answer.status != 200:
            return
        name = request.body["name"]
        versions = self.backend.registry.search_model_versions(f"name = '{name}'")
        place = f"{self.double.workspace_id}/models/{name}"
        self.double.store.put(place, {"properties": {"latestVersion": str(max(int(v.version) for v in versions))}})
        for version in versions:
            properties = {
                "modelType": "mlflow_model",
                "modelUri": self.asset(version.source),
                "flavors": {},
                "tags": dict(version.tags),
                "properties": {},
                "jobName": version.run_id,
                "provisioningState": "Succeeded",
            }
            self.double.store.put(f"{place}/versions/{version.version}", {"properties": properties})

    def download_uri(self, request: Request) -> Response:
        answer = self.backend.call(request, "model-versions/get-download-uri")
        if answer.status == 200 and self.downloads == "asset":
            return Response(200, {"artifact_uri": self.asset(json.loads(answer.body)["artifact_uri"])})
        return answer

    @staticmethod
    def asset(source: str) -> str:
        return re.sub(r"^azureml://.*/runs/([^/]+)/artifacts/", r"azureml://artifacts/ExperimentRun/dcid.\1/", source)

    @staticmethod
    def refuse(message: str) -> Any:
        def handler(request: Request) -> None:
            raise failure(400, "UserError", message)

        return handler

    # -- artifacts ---------------------------------------------------------------------------------------------------

    def create(self, request: Request, **place: str) -> Any:
        """Announces files, each to be put at the address it is given. None can be announced twice."""
        origin, container = self.container(place)
        known = self.artifacts.setdefault((origin, container), {})
        answer: dict[str, Any] = {"artifacts": {}, "artifactContentInformation": {}, "errors": {}}
        for path in (one["path"] for one in request.body["paths"]):
            if path in known:
                message = f"Resource Conflict: ArtifactId {origin}/{container}/{path} already exists."
                answer["errors"][path] = {"error": {"code": "UserError", "message": message}}
                continue
            known[path] = now()
            answer["artifacts"][path] = self.artifact(origin, container, path)
            answer["artifactContentInformation"][path] = self.address(origin, container, path, "w")
        return answer

    def list(self, request: Request, **place: str) -> Any:
        origin, container = self.container(place)
        return {"value": [self.artifact(origin, container, path) for path in sorted(self.known(origin, container))]}

    def content(self, request: Request, **place: str) -> Any:
        origin, container = self.container(place)
        path = request.query["path"]
        if path not in self.known(origin, container):
            raise Refusal(404, "UserError", f"Artifact with id {origin}/{container}/{path} was not found.")
        return self.address(origin, container, path, "r")

    @staticmethod
    def container(place: dict[str, str]) -> tuple[str, str]:
        return ("ExperimentRun", f"dcid.{place['run']}") if "run" in place else (place["origin"], place["container"])

    def known(self, origin: str, container: str) -> dict[str, str]:
        return self.artifacts.get((origin, container), {})

    def artifact(self, origin: str, container: str, path: str) -> dict[str, Any]:
        return {
            "artifactId": f"{origin}/{container}/{path}",
            "origin": origin,
            "container": container,
            "path": path,
            "createdTime": self.known(origin, container)[path],
            "dataPath": {"dataStoreName": "workspaceartifactstore", "relativePath": f"{origin}/{container}/{path}"},
        }

    def address(self, origin: str, container: str, path: str, permission: str) -> dict[str, Any]:
        store = self.double.store.get(f"{self.double.workspace_id}/datastores/workspaceartifactstore")["properties"]
        host, blob = f"{store['accountName']}.blob.{store['endpoint']}", f"{origin}/{container}/{path}"
        signature = f"sv=2025-01-05&sr=b&sp={permission}&sig=double"
        return {
            "contentUri": f"https://{host}/{store['containerName']}/{quote(blob)}?{signature}",
            "origin": origin,
            "container": container,
            "path": path,
        }


class Backend:
    """MLflow itself: its stores on SQLite, and the request handlers of its server without the server."""

    def __init__(self, database: Any, root: str) -> None:
        from flask import Flask
        from mlflow.server import handlers
        from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
        from mlflow.store.tracking import sqlalchemy_store

        for name in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._handlers, self._store_module = handlers, sqlalchemy_store
        self.tracking = sqlalchemy_store.SqlAlchemyStore(f"sqlite:///{database.as_posix()}", root)
        self.registry = Registry(f"sqlite:///{database.as_posix()}")
        application = Flask("mlflow")
        for path, handler, methods in handlers.get_endpoints():
            if path.startswith("/api/2.0/mlflow/"):
                application.add_url_rule(path, path + str(methods), handler, methods=methods)
        self._client = application.test_client()
        self._known: set[str] = set()

    def call(self, request: Request, call: str, body: Any = None) -> Response:
        """MLflow's answer to a request; its errors in Azure's form."""
        with mock.patch.multiple(self._handlers, _tracking_store=self.tracking, _model_registry_store=self.registry):
            answer = self._client.open(
                "/api/2.0/mlflow/" + call,
                method=request.method,
                query_string=dict(request.query),
                data=request.content if body is None else json.dumps(body),
                content_type="application/json",
            )
        if answer.status_code >= 400:
            told = answer.get_json(silent=True) or {}
            code, message = told.get("error_code", "INTERNAL_ERROR"), told.get("message", "")
            return failure(answer.status_code, "UserError", message, code).response
        return Response(answer.status_code, answer.get_data(), {"Content-Type": "application/json; charset=utf-8"})

    def create_run(self, experiment: str, name: str, tags: dict[str, str], shown: str = "") -> Any:
        """A run whose id is `name`; MLflow would choose one itself."""
        from mlflow.entities import RunTag
        from mlflow.utils.time import get_current_time_millis

        self._known.add(name)
        chosen = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=name))
        with mock.patch.object(self._store_module, "uuid", chosen):
            tags = {"mlflow.rootRunId": tags.get("mlflow.parentRunId", name), **tags}
            made = [RunTag(key, value) for key, value in tags.items()]
            return self.tracking.create_run(experiment, "", get_current_time_millis(), made, shown or name)

    def knows(self, name: str) -> bool:
        return name in self._known

    def log_metric(self, run: str, name: str, values: list[float]) -> None:
        from mlflow.entities import Metric

        for step, value in enumerate(values, start=1):
            self.tracking.log_metric(run, Metric(name, value, step, step))

    def end_run(self, run: str, status: str, name: str) -> None:
        from mlflow.entities import RunStatus

        self.tracking.update_run_info(run, RunStatus.from_string(status), None, name)


def failure(status: int, code: str, message: str, error_code: str = "INVALID_PARAMETER_VALUE") -> Refusal:
    """An error as Azure's MLflow server words it: the text is inside `Error`, where MLflow does not look for it."""
    refusal = Refusal(status, code, message)
    body = {
        "Error": {"Code": code, "Severity": None, "Message": message, "InnerError": None},
        "Correlation": {"operation": "double", "request": "double"},
        "Environment": "westeurope",
        "Location": "westeurope",
        "Time": now(),
        "ComponentName": "mlflow",
        "statusCode": status,
        "error_code": error_code,
    }
    refusal.response = Response(status, body)
    return refusal


def install(double: "Double") -> None:
    """Adds the routes under /mlflow, and those of run history that artifacts need; `double.mlflow` steers them."""
    double.mlflow = MLflow(double)
