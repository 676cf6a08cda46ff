"""Azure if it has room, else this machine: what `--target auto` does.

Only quota falls back. A login, a permission, a wrong file, an image that does not build fails here as it fails there:
hidden behind a local endpoint it would stay unmended.
"""

import os
import re
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from amlocal.azure.down import OVER
from amlocal.azure.quota_refusal import quota_refusal
from amlocal.core.documents import read_yaml
from amlocal.core.errors import NotFound, UserError
from amlocal.specs.recognize import kind_of

# What a model that came from Azure was there: its version, and the registry that it was in.
AZURE_VERSION, AZURE_REGISTRY = "azure_version", "azure_registry"
LOOK_SECONDS = 10.0
HAS_NODE = ("Running", "Finalizing")
REGISTERED = re.compile(r"(azureml:)?(?P<name>[\w.-]+)(@(?P<label>[\w.-]+)|:(?P<version>[\w.-]+))")
IN_REGISTRY = re.compile(
    r"azureml://registries/(?P<registry>[\w.-]+)/models/(?P<name>[\w.-]+)"
    r"/(versions/(?P<version>[\w.-]+)|labels/(?P<label>[\w.-]+))"
)
Answer = dict[str, Any] | None


class NoRoom(UserError):
    """What is known before Azure is asked: it would not fit."""


def either(in_azure: Callable[[], Answer], here: Callable[[str], Answer], say: Callable[[str], None]) -> dict[str, Any]:
    """Do it in Azure; if it has no quota, which it may say at once or later, do it here. Other errors are raised.

    here: is given the reason. Returns what was created, with `target` and, if that is local, `fallback_reason`; in a
    workflow of GitHub's the next step finds both among this step's outputs.
    """
    try:
        answer, target, reason = in_azure(), "azure", None
    except Exception as error:  # azure-core's, azure-ai-ml's, and ours from the checks before
        reason = str(error) if isinstance(error, NoRoom) else quota_refusal(error)
        if reason is None:
            raise
        say(f"Azure has no quota for this: {reason}. It goes to this machine instead.")
        answer, target = here(reason), "local"
    if outputs := os.environ.get("GITHUB_OUTPUT"):
        with Path(outputs).open("a", encoding="utf-8") as file:
            file.write(f"target={target}\nreason={reason or ''}\n")
    return {**(answer or {}), "target": target, "fallback_reason": reason}


def require_endpoint(azure: Any, local: Any, name: str) -> None:
    """Raises NoRoom if the endpoint was refused in Azure before, and is here."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        azure.online_endpoints.get(name)
    except ResourceNotFoundError:
        try:
            local.online_endpoints.describe(name)
        except NotFound:
            return  # nowhere: Azure's own error tells how to mend it
        raise NoRoom(f"endpoint {name} is on this machine, not in Azure") from None


def require_cores(azure: Any, file: Path, overrides: list[dict[str, Any]], say: Callable[[str], None]) -> None:
    """Raises NoRoom if the usage that Azure publishes leaves too few cores; what it does not tell is left to Azure.

    file: of a deployment or a job; overrides: what `--set` and other flags change in it.
    """
    from azure.core.exceptions import AzureError

    from amlocal.azure.quota import check
    from amlocal.azure.subscription import Subscription, need_of

    flags = {key: value for override in overrides for key, value in override.items()}
    try:
        subscription = Subscription(azure)
        need = need_of(subscription, file, flags.get("instance_type"), flags.get("instance_count"))
        finding = check(need, subscription.limits())
    except (AzureError, UserError) as error:  # not everybody may read it
        say(f"The quota could not be looked up ({' '.join(str(error).split())[:200]}); Azure will tell.")
        return
    if not finding.fits:
        name = min(finding.limits, key=lambda limit: float("inf") if limit.left is None else limit.left).name
        raise NoRoom(
            f"{need.instances} x {need.size.name} needs {need.cores} cores, and {name} has {finding.left} left"
        )


def batch_instead(file: Path) -> str:
    """What Azure can do for who has no quota for the deployment in `file`, with the commands.

    They name the batch deployment and its endpoint that are described in the folder of `file` or in one beside it.
    """
    said = (
        "For files instead of single requests a batch endpoint can be in Azure: it has no machine of its own, and takes"
        " cores of its cluster only while a job runs"
    )
    found = _batch_files(file)
    if not found:
        return f"{said}: aml batch-endpoint create, aml batch-deployment create."
    endpoint, deployment = (shlex.quote(_as_typed(path)) for path in found)
    return (
        f"{said}:\n  aml batch-endpoint create -f {endpoint} --target azure"
        f"\n  aml batch-deployment create -f {deployment} --set-default --target azure"
    )


def _as_typed(path: Path) -> str:
    try:
        return os.path.relpath(path)
    except ValueError:  # on another drive of Windows
        return str(path)


def _batch_files(file: Path) -> tuple[Path, Path] | None:
    """The files of a batch endpoint and of a deployment of it; the first that there are."""
    home = file.resolve().parent
    endpoints: dict[str, Path] = {}
    deployments: list[tuple[str, Path]] = []
    for path in [*sorted(home.glob("*.y*ml")), *sorted(home.parent.glob("*/*.y*ml"))]:
        try:
            spec = read_yaml(path, warn=False)
        except UserError:
            continue  # another's file, and not what this command is about
        kind = kind_of(spec)
        if kind == "batch_endpoint":
            endpoints.setdefault(str(spec.get("name")).lower(), path)
        elif kind == "batch_deployment":
            deployments.append((str(spec.get("endpoint_name")).lower(), path))
    return next(((endpoints[name], path) for name, path in deployments if name in endpoints), None)


def require_node(azure: Any, name: str, minutes: float, say: Callable[[str], None]) -> None:
    """Wait until a job has a node. Raises NoRoom, with the job canceled, if it has had none for so many minutes.

    Azure accepts a job that no quota has room for and lets it wait for ever without a word. A pipeline counts as
    running while its steps wait, and a step that is reused completes without a node: only a step that runs has one.
    """
    say(f"Waiting for a node for job {name}, up to {minutes:g} minutes ...")
    waiting_since = time.monotonic()
    while True:
        job = azure.jobs.get(name)
        alone = job.type != "pipeline"
        running = [job] if alone else [step for step in azure.jobs.list(parent_job_name=name) if step]
        if job.status in OVER or any(each.status in HAS_NODE for each in running):
            return
        if time.monotonic() - waiting_since >= minutes * 60:
            azure.jobs.begin_cancel(name).result()
            raise NoRoom(f"job {name} waited {minutes:g} minutes for a node and was canceled")
        time.sleep(LOOK_SECONDS)


def bring_model(azure: Any, local: Any, reference: Any, say: Callable[[str], None]) -> Any:
    """Have the model that a deployment names in Azure in the workspace of this folder; returns its reference here.

    reference: NAME:VERSION, NAME@LABEL or the address of a model in a registry, as azure-ai-ml loads it; anything else
    comes with the file, and is returned. The workspace here counts its own versions, so the one of Azure is kept as the
    tag AZURE_VERSION.
    """
    from azure.ai.ml.entities import Model

    shared = IN_REGISTRY.fullmatch(reference) if isinstance(reference, str) else None
    named = shared or (REGISTERED.fullmatch(reference) if isinstance(reference, str) else None)
    if not named:
        return reference
    name, registry = named["name"], shared["registry"] if shared else None
    if registry:
        from amlocal.azure.connection import connect_registry

        azure = connect_registry(registry)
    theirs = azure.models.get(name, **{key: named[key] for key in ("label", "version") if named[key]})
    here: Sequence[dict[str, Any]] = ()
    with suppress(NotFound):  # a model that no version of has come yet
        here = local.models.describe_all(name)
    for ours in here:
        tags = ours["tags"]
        if (tags.get(AZURE_REGISTRY), tags.get(AZURE_VERSION)) == (registry, str(theirs.version)):
            return f"azureml:{name}:{ours['version']}"
    place = f"registry {registry}" if registry else "Azure"
    say(f"Fetching model {name}, version {theirs.version}, from {place} ...")
    with tempfile.TemporaryDirectory() as folder:
        azure.models.download(name, str(theirs.version), download_path=folder)
        found = sorted(Path(folder, name).iterdir())
        path = found[0] if len(found) == 1 else Path(folder, name)
        origin = {AZURE_VERSION: str(theirs.version), **({AZURE_REGISTRY: registry} if registry else {})}
        tags = {**(theirs.tags or {}), **origin}
        ours = local.models.create_or_update(Model(name=name, type=theirs.type, path=path, tags=tags))
    return f"azureml:{name}:{ours.version}"


def have_endpoint(local: Any, name: str) -> None:
    """Have the endpoint that a deployment belongs to."""
    from azure.ai.ml.entities import ManagedOnlineEndpoint

    try:
        local.online_endpoints.describe(name)
    except NotFound:
        local.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name=name, auth_mode="key")).result()
