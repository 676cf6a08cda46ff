"""`aml job`: create, show, list, change, stream, download, cancel and validate jobs."""

import contextlib
import sys
from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import given, shared
from amlocal.cli.interrupt import termination_as_interrupt
from amlocal.cli.looked import told
from amlocal.cli.printing import created, described, described_all, note, view
from amlocal.cli.specs import load
from amlocal.cli.updates import Changes, changed, update_arguments
from amlocal.core.errors import UserError

COLUMNS = (
    "[].{Name:name, DisplayName:display_name, Experiment:experiment_name, Type:type, Status:status, "
    "Created:creation_context.created_at}"
)


def create(
    cmd: CLICommand,
    file: str,
    name: str | None = None,
    save_as: str | None = None,
    params_override: list[dict[str, Any]] | None = None,
    skip_validation: bool = False,
    stream: bool = False,
    web: bool = False,
    queue_minutes: float = 30,
    debug_step: str | None = None,
    debugger: str | None = None,
) -> dict[str, Any] | None:
    overrides = [*(params_override or []), *given(name=name)]
    if debugger is not None and debug_step is None:
        debug_step = ""
    if debug_step is not None:
        target.debugged_here("--debug-step")
        stream = True

    def submitted(client: Any) -> Any:
        options: dict[str, Any] = {"skip_validation": True} if skip_validation else {}
        if debug_step is not None:
            options |= {"debug_step": debug_step, "debugger": debugger or "debugpy"}
        return client.jobs.create_or_update(load("job", file, overrides), **options)

    if target.is_auto():
        client, job, outcome = _submit_where_there_is_room(
            cmd, file, overrides, submitted, queue_minutes if stream else None
        )
    else:
        client, outcome = target.client(), {}
        if not target.is_azure():
            client.jobs.get_ready()
        job = submitted(client)
    jobs = client.jobs
    if save_as:
        _save(created(jobs, job), save_as)
    if web:
        _open_in_browser(cmd, created(jobs, job))
    if stream:
        if debugger == "pdb":
            _be_its_terminal(jobs, job.name)
        _stream_own_job(cmd, jobs, job.name, target.is_azure() or outcome.get("target") == "azure")
        if not cmd.cli_ctx.invocation.data["output_asked_for"]:
            return None
        return described(jobs, job.name) | outcome
    return created(jobs, job) | outcome


def _submit_where_there_is_room(
    cmd: CLICommand, file: str, overrides: list[dict[str, Any]], submitted: Any, queue_minutes: float | None
) -> tuple[Any, Any, dict[str, Any]]:
    """(the client that has it, the job, {"target", "fallback_reason"})"""
    from pathlib import Path

    from amlocal.azure import fallback

    azure, local = target.azure(), target.local()
    made: dict[str, Any] = {}

    def say(text: str) -> None:
        note(cmd.cli_ctx, text)

    def in_azure() -> None:
        fallback.require_cores(azure, Path(file), overrides, say)
        made.update(client=azure, job=submitted(azure))
        if queue_minutes is not None:
            try:
                fallback.require_node(azure, made["job"].name, queue_minutes, say)
            except KeyboardInterrupt:
                _goes_on(cmd, made["job"].name)
                raise

    def here(_: str) -> None:
        made.update(client=local, job=submitted(local))

    outcome = fallback.either(in_azure, here, say)
    return made["client"], made["job"], outcome


def _goes_on(cmd: CLICommand, name: str) -> None:
    note(cmd.cli_ctx, f"Job {name} goes on in Azure; `aml job cancel -n {name} --target azure` ends it.")


def debug(cmd: CLICommand, name: str, step: str = "", debugger: str | None = None) -> dict[str, Any] | None:
    target.debugged_here("job debug")
    jobs = target.client().jobs
    jobs.get_ready()
    job = jobs.debug(name, step, debugger or "debugpy")
    if debugger == "pdb":
        _be_its_terminal(jobs, job.name)
    _stream_own_job(cmd, jobs, job.name, in_azure=False)
    return described(jobs, job.name) if cmd.cli_ctx.invocation.data["output_asked_for"] else None


def _be_its_terminal(jobs: Any, name: str) -> None:
    from amlocal.cli import pdb_terminal

    pdb_terminal.serve(lambda: jobs.pdb_of(name))


def show(cmd: CLICommand, name: str, web: bool = False) -> dict[str, Any]:
    job = described(target.client().jobs, name)
    if web:
        _open_in_browser(cmd, job)
    return job


def list_all(
    cmd: CLICommand,
    parent_job_name: str | None = None,
    max_results: int = 50,
    all_results: str = "false",
    include_archived: bool = False,
    archived_only: bool = False,
) -> list[dict[str, Any]]:
    limit = None if all_results == "true" else max_results
    which = view(include_archived, archived_only)
    found = described_all(target.client().jobs, limit, parent_job_name=parent_job_name, list_view_type=which)
    if not found and not parent_job_name and not archived_only:
        where = "this workspace in Azure" if target.is_azure() else str(target.workspace().root)
        note(cmd.cli_ctx, f"No job was submitted to {where} yet: `aml job create -f FILE.yml --stream` submits one.")
    return found


def update(cmd: CLICommand, name: str, web: bool = False, changes: Changes | None = None) -> dict[str, Any]:
    job = changed(target.client().jobs, name, changes)
    if web:
        _open_in_browser(cmd, job)
    return job


def archive(name: str) -> None:
    target.client().jobs.archive(name)


def restore(name: str) -> None:
    target.client().jobs.restore(name)


def show_services(name: str, node_index: int = 0) -> dict[str, Any]:
    jobs = target.client().jobs
    if hasattr(jobs, "services"):  # without azure-ai-ml, which takes seconds
        return jobs.services(name)
    return {service: vars(instance) for service, instance in (jobs.show_services(name, node_index) or {}).items()}


def stream(name: str) -> None:
    target.client().jobs.stream(name)


def download(
    cmd: CLICommand, name: str, download_path: str = ".", all: bool = False, output_name: str | None = None
) -> None:
    options = {"output_name": output_name} if output_name else {}
    target.client().jobs.download(name, download_path=download_path, all=all, **options)
    note(cmd.cli_ctx, f"Downloaded the files of job {name} to {download_path}")


def cancel(name: str) -> None:
    target.client().jobs.begin_cancel(name).result()


def validate(cmd: CLICommand, file: str, params_override: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    if not target.is_azure():
        found = told(cmd, [file], "job", params_override or [])
        return {key: value for key, value in found.items() if key == "result" or (key == "errors" and value)}
    try:
        job = load("job", file, params_override or [])
    except UserError as error:
        problems = {file: str(error)}
    else:
        problems = target.client().jobs.validate(job).error_messages
    if not problems:
        return {"result": "Succeeded"}
    for path, message in problems.items():
        line = " ".join(str(message).split())
        print(f"ERROR: {line if path in line else f'{path}: {line}'}", file=sys.stderr)
    cmd.cli_ctx.invocation.data["exit_code"] = 1
    errors = [{"path": path, "message": message} for path, message in problems.items()]
    return {"result": "Failed", "errors": errors}


def _stream_own_job(cmd: CLICommand, jobs: Any, name: str, in_azure: bool) -> None:
    """Stream a job this command has started; interrupted, take the job down too.

    In the cloud the job goes on, as az has it; on a laptop nobody expects anything to run after Ctrl-C.
    """
    data_follows = cmd.cli_ctx.invocation.data["output_asked_for"]
    try:
        with termination_as_interrupt(), contextlib.redirect_stdout(sys.stderr if data_follows else sys.stdout):
            jobs.stream(name)
    except KeyboardInterrupt:
        if in_azure:
            _goes_on(cmd, name)
            raise
        print(f"Interrupted: canceling job {name}, so that nothing is left running.", file=sys.stderr, flush=True)
        try:
            jobs.begin_cancel(name).result()
        except Exception as error:
            print(f"ERROR: job {name} was not canceled: {error}; see `aml job show -n {name}`", file=sys.stderr)
        raise
    except BrokenPipeError:
        where = " --target azure" if in_azure else ""
        note(
            cmd.cli_ctx,
            f"Nobody reads the log any more; job {name} goes on (`aml job cancel -n {name}{where}` ends it).",
        )
        raise


def _save(job: dict[str, Any], path: str) -> None:
    from pathlib import Path

    import yaml

    from amlocal.core.files import write_text

    write_text(Path(path), yaml.safe_dump(job, sort_keys=False, allow_unicode=True))


def _open_in_browser(cmd: CLICommand, job: dict[str, Any]) -> None:
    address = job["services"]["Studio"]["endpoint"]
    if _answers(address):
        import webbrowser

        webbrowser.open(address)
    else:
        note(cmd.cli_ctx, f"Nothing answers at {address}: start `aml mlflow ui`, then open it.")


def _answers(address: str) -> bool:
    import socket
    from urllib.parse import urlsplit

    place = urlsplit(address)
    try:
        socket.create_connection((place.hostname, place.port or 443), timeout=1).close()
        return True
    except OSError:
        return False


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "job", "amlocal.cli.nouns.job#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("update", "update")
        group.command("archive", "archive")
        group.command("restore", "restore")
        group.command("show-services", "show_services")
        group.command("stream", "stream")
        group.command("download", "download")
        group.command("cancel", "cancel")
        group.command("validate", "validate")
        group.command("debug", "debug")


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "job", "job", "jobs")
    with ArgumentsContext(loader, "job") as c:
        c.argument("web", options_list=["--web", "-e"], help="Show the job's run details in a web browser.")
    update_arguments(loader, "job update")
    with ArgumentsContext(loader, "job show-services") as c:
        c.argument(
            "node_index",
            options_list=["--node-index", "-i"],
            type=int,
            help="The index of the node whose services are asked for. Default: 0.",
        )
    with ArgumentsContext(loader, "job create") as c:
        c.argument(
            "save_as",
            options_list=["--save-as", "-a"],
            help="File to which the created job's state in YAML format will be written.",
        )
        c.argument("skip_validation", help="Skip validation in creating the resource.")
        c.argument(
            "queue_minutes",
            type=float,
            help="With --target auto and --stream: how long to wait for a node in Azure before the job runs here "
            "instead. Default: 30.",
        )
        c.argument(
            "stream",
            options_list=["--stream", "-s"],
            help="Indicates whether to stream the job's logs to the console. Ctrl-C then cancels the job.",
        )
        c.argument(
            "debug_step",
            options_list=["--debug-step"],
            nargs="?",
            const="",
            metavar="STEP",
            help="Have this step of a pipeline wait for a debugger; without a name, the job's only step. Implies "
            "--stream. Local target only.",
        )
        debugger(c)
    with ArgumentsContext(loader, "job debug") as c:
        c.positional("step", nargs="?", help="The step. Default: the only one, or the one that failed.")
        debugger(c)
    with ArgumentsContext(loader, "job list") as c:
        c.argument("max_results", help="Max number of results to return.", default=50)
        c.argument("all_results", nargs="?", const="true", choices=["false", "true"], help="Returns all results.")
        c.argument(
            "parent_job_name",
            options_list=["--parent-job-name", "-p"],
            help="Name of the parent job. Will list all jobs whose parent_job_name matches the given name.",
        )
    with ArgumentsContext(loader, "job download") as c:
        c.argument("all", help="Download all the outputs of the job.")
        c.argument(
            "output_name",
            help="The name of the user-defined output to download: a key of the job's outputs. "
            "If omitted, the job's default artifact output files will be downloaded.",
        )


def debugger(c: ArgumentsContext) -> None:
    c.argument(
        "debugger",
        options_list=["--debugger"],
        choices=["debugpy", "pdb"],
        help="debugpy waits for an editor to attach; pdb is used in this terminal. Default: debugpy.",
    )


helps["job"] = """
type: group
short-summary: Manage Azure ML jobs.
long-summary: A job runs a command, or a pipeline of commands, as processes on this machine. \
  Its specification is the file Azure ML reads; its record, logs and outputs lie in the workspace.
"""
helps["job create"] = """
type: command
short-summary: Create a job.
long-summary: The job starts at once and runs in the background; with --stream its log is shown until it ends.
examples:
  - name: Create a job from a YAML specification file
    text: aml job create --file job.yml
  - name: Create a job and watch it; Ctrl-C cancels it
    text: aml job create -f aml/pipelines/training.yml --stream
  - name: Create a job with other inputs than the file's
    text: aml job create --file job.yml --set inputs.learning_rate=0.1 inputs.epochs=3
  - name: Create a job whose step "train" waits for an editor to attach
    text: aml job create -f pipeline.yml --debug-step train
  - name: Create a job and keep its name for a script
    text: name=$(aml job create -f job.yml --query name -o tsv)
"""
helps["job show"] = """
type: command
short-summary: Show details for a job.
examples:
  - name: Show the status of a job using --query argument to execute a JMESPath query on the results of commands.
    text: aml job show --name my-job-id --query "{Name:name,Jobstatus:status}" --output table
  - name: The status alone, for a script
    text: aml job show -n my-job-id --query status -o tsv
"""
helps["job list"] = """
type: command
short-summary: List jobs in a workspace.
long-summary: The newest first; steps of a pipeline only with --parent-job-name.
examples:
  - name: List the jobs as a table
    text: aml job list -o table
  - name: List the steps of a pipeline job
    text: aml job list --parent-job-name my-pipeline -o table
  - name: List all the jobs status in a workspace using --query argument to execute a JMESPath query.
    text: aml job list --query "[].{Name:name,Jobstatus:status}" --output table
"""
helps["job update"] = """
type: command
short-summary: Update a job.
long-summary: What can be updated is its display name, description, experiment name, tags and properties.
examples:
  - name: Give a job a tag and another name to be shown
    text: aml job update --name my-job-id --set tags.owner=me display_name="Second try"
"""
helps["job archive"] = """
type: command
short-summary: Archive a job.
long-summary: Hides it from `aml job list`; it can still be used. Only jobs that have ended can be archived.
examples:
  - name: Archive a job
    text: aml job archive --name my-job-id
"""
helps["job restore"] = """
type: command
short-summary: Restore an archived job.
examples:
  - name: Restore an archived job
    text: aml job restore --name my-job-id
"""
helps["job show-services"] = """
type: command
short-summary: Show services of a job per node.
long-summary: Services are started in Azure only; here they are listed as what they are, not started.
examples:
  - name: Show the services of a job
    text: aml job show-services --name my-job-id
"""
helps["job stream"] = """
type: command
short-summary: Stream job logs to the console.
long-summary: Fails if the job failed. Ctrl-C stops watching; the job goes on.
examples:
  - name: Watch a job that runs in the background
    text: aml job stream --name my-job-id
"""
helps["job download"] = """
type: command
short-summary: Download all job-related files.
long-summary: Logs and default outputs go to `artifacts/`, named outputs to `named-outputs/`.
examples:
  - name: Download a job's logs and outputs to the current working directory
    text: aml job download --name my-job-id
  - name: Download one named output
    text: aml job download -n my-job-id --output-name model --download-path ./model
"""
helps["job cancel"] = """
type: command
short-summary: Cancel a job.
long-summary: Ends the job's processes and those of its steps.
examples:
  - name: Cancel a job by name
    text: aml job cancel --name my-job-id
"""
helps["job debug"] = """
type: command
short-summary: Run a step of a job that has ended again, alone and with its inputs, under a debugger.
long-summary: >
  A new job: it has the code, the inputs and the environment that the step had, and outputs of its own.
examples:
  - name: Run the step that failed again and wait for an editor to attach
    text: aml job debug --name my-job-id
  - name: Run the step "train" again with pdb in this terminal
    text: aml job debug --name my-job-id train --debugger pdb
"""
helps["job validate"] = """
type: command
short-summary: Validate a job.
long-summary: Finds what creating the job would stumble over, without running anything. Fails if there is an error.
examples:
  - name: Validate a YAML specification file to check if it is valid for job creation.
    text: aml job validate --file job.yml
"""
