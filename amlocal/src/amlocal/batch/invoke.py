"""A deployment and a request become a job: a pipeline, whose one step `batchscoring` calls the scoring script.

`python -m amlocal.batch.invoke WORKSPACE ENDPOINT [DEPLOYMENT]` reads the body of a request from standard input and
answers with one line of JSON, {"status": ..., "body": ...}; the endpoint's server runs it for every request.
"""

import json
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from amlocal.batch.plan import SUMMARY_ONLY, ModelPlan, PipelinePlan, Settings, read_plan
from amlocal.batch.request import LITERAL, Given, Request, read
from amlocal.batch.store import BatchDeployment, BatchStore
from amlocal.core.errors import NotFound, Problems, UserError
from amlocal.core.names import NAME, creation_context
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import JobRecord
from amlocal.jobs.submit import Runner, prepare_job, start
from amlocal.specs.literals import suggestion
from amlocal.specs.parallel import Parallel
from amlocal.specs.placed import Placed
from amlocal.specs.plan import Binding, Output, Plan, Step

STEP, INPUT, OUTPUT = "batchscoring", "job_data", "score"
INVOCATION = Path("invoke")
# What a batch endpoint's jobs are found by, with Azure's own keys.
ENDPOINT, DEPLOYMENT = "azureml.endpointname", "azureml.deploymentname"


def invoke(
    workspace: Workspace,
    endpoint_name: str,
    deployment_name: str | None,
    request: Request,
    runner: Runner | None = None,
) -> JobRecord:
    """Start the job that an invocation asks for. Raises UserError or NotFound, having started nothing."""
    store = BatchStore(workspace)
    endpoint = store.get(endpoint_name)
    name = deployment_name or store.default(endpoint)
    if not name:
        there = ", ".join(store.names(endpoint_name)) or "none"
        raise NotFound(
            f"batch endpoint {endpoint_name}: it has no default deployment; name one (it has {there}), or set one:"
            f" aml batch-endpoint update -n {endpoint_name} --set defaults.deployment_name=NAME"
        )
    deployment = store.deployment(name, endpoint_name)
    if request.job_name and not NAME.fullmatch(request.job_name):
        raise UserError(
            f'job name "{request.job_name}": use letters, digits, "-", "_" and ".", beginning with a letter or digit'
        )
    plan = read_plan(deployment.plan, store.file(name, endpoint_name))
    make = _pipeline_job if isinstance(plan, PipelinePlan) else _model_job
    record, frozen = make(workspace, endpoint_name, deployment, plan, request)  # type: ignore[arg-type]
    record.properties |= {
        ENDPOINT: endpoint_name,
        DEPLOYMENT: name,
        "azureml.runLineageType": "batchDeployment",
        "runSource": "BatchDeployment",
        "runType": "HTTP",
    }
    record.tags |= {"azureml.batchrun": "true", DEPLOYMENT: name, "azureml.jobtype": "azureml.pipelinejob"}
    return start(record, frozen, workspace, runner)


def described(workspace: Workspace, record: JobRecord, services: Mapping[str, str]) -> dict[str, Any]:
    """What the REST API answers to an invocation, as far as it means something here."""
    by = (record.properties.get(ENDPOINT, ""), "deployments", record.properties.get(DEPLOYMENT, ""))
    return {
        "id": workspace.id_of("batchEndpoints", *by, "jobs", record.name),
        "name": record.name,
        "type": "Microsoft.MachineLearningServices/workspaces/batchEndpoints/deployments/jobs",
        "properties": {
            "interactionEndpoints": {
                name: {"endpoint": address, "jobEndpointType": name} for name, address in services.items()
            },
            "name": record.display_name,
            "properties": record.properties,
            "provisioningState": "Succeeded",
            "status": record.status,
            "tags": record.tags,
        },
        "systemData": {
            "createdAt": record.creation_context["created_at"],
            "createdBy": record.creation_context.get("created_by"),
        },
    }


# -- model deployments


def _model_job(
    workspace: Workspace, endpoint: str, deployment: BatchDeployment, plan: ModelPlan, request: Request
) -> tuple[JobRecord, Plan]:
    workspace.create()
    workspace.require_space()
    settings = replace(plan.settings, **request.settings).checked("")
    if plan.settings.output_action == SUMMARY_ONLY and "output_file_name" in request.settings:
        raise UserError(
            f"output_file_name: deployment {deployment.name} writes no such file, its output is summary_only"
        )
    name, given = _only_input(deployment.name, request)
    binding = Binding(given.type, path=_place(workspace).path(name, str(given.value), given.type))
    output, row_file = _score(workspace, request, settings)
    step = Step(
        name=STEP,
        code=plan.code,
        environment=plan.environment,
        inputs={INPUT: binding},
        outputs={OUTPUT: output},
        environment_variables={**plan.variables, **({"AZUREML_MODEL_DIR": plan.model} if plan.model else {})},
        display_name=STEP,
        deterministic=False,  # every invocation runs
        type="parallel",
        settings=asdict(_parallel(plan, settings, row_file)),
    )
    job = request.job_name or f"batchjob-{uuid.uuid4()}"
    record = JobRecord(
        name=job,
        type="pipeline",
        display_name=job,
        experiment_name=request.experiment_name or endpoint,
        spec=_spec(deployment, plan, settings, (name, binding), output, row_file),
        creation_context=creation_context(),
        status="Preparing",
    )
    return record, Plan("pipeline", {STEP: step}, {OUTPUT: (STEP, OUTPUT)}, {name: binding}, force_rerun=True)


def _place(workspace: Workspace) -> Placed:
    return Placed("", INVOCATION, Path.cwd(), workspace)


def _only_input(deployment: str, request: Request) -> tuple[str, Given]:
    """The one input of a model deployment; whatever it is called."""
    data = {name: given for name, given in request.inputs.items() if given.type != LITERAL}
    if literals := request.inputs.keys() - data.keys():
        raise UserError(
            f"inputs.{min(literals)}: a literal; deployment {deployment} serves a model, which takes data only"
        )
    if len(data) != 1:
        there = f"{len(data)} are given: {', '.join(data)}" if data else "none is given; name one with --input"
        raise UserError(f"inputs: deployment {deployment} serves a model, which takes one input; {there}")
    [(name, given)] = data.items()
    if given.type not in ("uri_folder", "uri_file"):
        raise UserError(f"inputs.{name}: a {given.type}; a model deployment takes a uri_folder or a uri_file")
    return name, given


def _score(workspace: Workspace, request: Request, settings: Settings) -> tuple[Output, str | None]:
    """Where the output goes, and what the file of rows is called in it (None: it is the file itself)."""
    if len(request.outputs) > 1:
        raise UserError(f"outputs: a model deployment has one, {OUTPUT}; these are {', '.join(request.outputs)}")
    name, given = next(iter(request.outputs.items()), (OUTPUT, Given("uri_folder", request.output_folder)))
    if given.type not in ("uri_folder", "uri_file"):
        raise UserError(f"outputs.{name}: a {given.type}; a model deployment writes a uri_folder or a uri_file")
    output = _place(workspace).output(name, given.type, given.value and _Path(given.value))
    return output, None if given.type == "uri_file" and given.value else settings.output_file_name


class _Path:
    """What `Placed.output` takes a path from."""

    def __init__(self, path: str) -> None:
        self.path = path


def _parallel(plan: ModelPlan, settings: Settings, row_file: str | None) -> Parallel:
    engine = {
        "mini_batch_size": str(settings.mini_batch_size),
        "error_threshold": settings.error_threshold,
        "max_retries": settings.max_retries,
        "timeout": settings.timeout,
        "concurrency": settings.instance_count * settings.max_concurrency_per_instance,
        "logging_level": settings.logging_level.upper(),
    }
    if plan.generated and settings.error_threshold < 0:
        # "How to use MLflow models in batch deployments": a file that cannot be read fails the job.
        engine["mini_batch_error_threshold"] = 0
    return Parallel(
        entry_script=plan.entry_script,
        arguments="",
        input=INPUT,
        append_row_to=None if settings.output_action == SUMMARY_ONLY else OUTPUT,
        settings=engine,
        row_file=row_file,
        output_variables={"AZUREML_BI_OUTPUT_PATH": OUTPUT},
        fresh=True,
    )


def _spec(
    deployment: BatchDeployment,
    plan: ModelPlan,
    settings: Settings,
    given: tuple[str, Binding],
    output: Output,
    row_file: str | None,
) -> dict[str, Any]:
    """The job as `aml job show` prints it."""
    name, binding = given
    reference = (plan.environment or {}).get("reference")
    environment = (
        f"azureml:{reference}"
        if reference
        else {key: value for key, value in (plan.environment or {}).items() if value is not None and key != "source"}
    )
    task = {
        "type": "run_function",
        "code": plan.code,
        "entry_script": plan.entry_script,
        "environment": environment,
        "append_row_to": f"${{{{outputs.{OUTPUT}}}}}",
    }
    step = {
        "type": "parallel",
        "compute": f"azureml:{plan.compute}" if plan.compute else None,
        "inputs": {INPUT: f"${{{{parent.inputs.{name}}}}}"},
        "outputs": {OUTPUT: f"${{{{parent.outputs.{OUTPUT}}}}}"},
        "input_data": f"${{{{inputs.{INPUT}}}}}",
        "mini_batch_size": str(settings.mini_batch_size),
        "error_threshold": settings.error_threshold,
        "max_concurrency_per_instance": settings.max_concurrency_per_instance,
        "retry_settings": {"max_retries": settings.max_retries, "timeout": settings.timeout},
        "logging_level": settings.logging_level.upper(),
        "resources": {"instance_count": settings.instance_count},
        "environment_variables": plan.variables or None,
        "task": task,
    }
    where = {"type": output.type, "path": output.path}
    return {
        "type": "pipeline",
        "inputs": {name: {"type": binding.type, "path": binding.path}},
        "outputs": {OUTPUT: {key: value for key, value in where.items() if value}},
        "jobs": {STEP: {key: value for key, value in step.items() if value is not None}},
    }


# -- pipeline component deployments


def _pipeline_job(
    workspace: Workspace, endpoint: str, deployment: BatchDeployment, plan: PipelinePlan, request: Request
) -> tuple[JobRecord, Plan]:
    from azure.ai.ml import Input
    from azure.ai.ml import Output as AzureOutput
    from azure.ai.ml.entities import PipelineJob, PipelineJobSettings

    from amlocal.specs.load import revive

    if request.settings or request.output_folder:
        named = ", ".join([*request.settings, *(["output_path"] if request.output_folder else [])])
        raise UserError(f"{named}: deployment {deployment.name} runs a pipeline, whose own files say this")
    component = revive("component", plan.component)
    _check_names(deployment.name, component, request)
    values = {
        name: given.value if given.type == LITERAL else Input(type=given.type, path=given.value)
        for name, given in request.inputs.items()
    }
    # not `component(**values)`, which forgets what is false: False, 0 and ""
    settings = PipelineJobSettings()
    job = PipelineJob(component=component, inputs=values, settings=settings)
    for name, given in request.outputs.items():
        if given.value:
            job.outputs[name] = AzureOutput(type=given.type, path=given.value)
    settings.force_rerun = bool(plan.settings.get("force_rerun"))
    for name in ("default_compute", "default_datastore", "continue_on_step_failure"):
        if plan.settings.get(name) is not None:
            setattr(settings, name, plan.settings[name])
    job.name = request.job_name or f"pipelinejob-{uuid.uuid4()}"
    job.display_name = job.name
    job.experiment_name = request.experiment_name or endpoint
    job._source_path, job._base_path = str(INVOCATION), Path.cwd()
    return prepare_job(job, workspace)


def _check_names(deployment: str, component: Any, request: Request) -> None:
    """Raises Problems for inputs and outputs that the pipeline does not have, and for inputs that are missing."""
    told = []
    for group, known in (("inputs", component.inputs), ("outputs", component.outputs)):
        for name in getattr(request, group):
            if name not in known:
                what = f"the pipeline of deployment {deployment} has no such {group[:-1]}{suggestion(name, known)}"
                told.append(f"{group}.{name}: {what}")
    for name, declared in component.inputs.items():
        if name not in request.inputs and declared.get("default") is None and not declared.get("optional"):
            told.append(f"inputs.{name}: required by the pipeline of deployment {deployment}: a {declared['type']}")
    if told:
        raise Problems(told)


# -- the process that the server starts


def main(root: str, endpoint: str, deployment: str | None = None) -> None:
    """Answer the request on standard input."""
    try:
        try:
            body = json.loads(sys.stdin.read() or "{}")
        except ValueError as error:
            raise UserError(f"the body is not JSON: {error}") from error
        workspace = Workspace.at(Path(root))
        record = invoke(workspace, endpoint, deployment, read(body))
        answer = {"status": 201, "body": described(workspace, record, {})}
    except UserError as error:
        status, code = (404, "NotFound") if isinstance(error, NotFound) else (400, "BadRequest")
        answer = {"status": status, "body": {"error": {"code": code, "message": str(error)}}}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
