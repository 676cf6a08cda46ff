"""A deployment of azure-ai-ml's becomes a plan: checked, its code and model laid out on disk, its Python found."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amlocal.assets import uris
from amlocal.core.documents import read_yaml
from amlocal.core.durable import sync
from amlocal.core.errors import UserError
from amlocal.core.files import copy_into, disk_errors, write_json
from amlocal.core.names import texts
from amlocal.core.workspace import OVERLAY, Workspace
from amlocal.endpoints.store import Collection, EndpointStore, ServingPlan
from amlocal.specs.settings import environment_of

NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]")
SERVER = "azureml-inference-server-http"
COLLECTOR = "azureml-ai-monitoring"
MLFLOW_SCRIPT = Path(__file__).parent / "worker" / "mlflow_score.py"
# Azure's defaults and limits: reference-yaml-deployment-managed-online.
MAX_CONCURRENT, TIMEOUT_MS, LONGEST_TIMEOUT_MS = 1, 5_000, 180_000
DEBUG_TIMEOUT_MS = 24 * 3600 * 1000  # somebody reads variables
ROLLING_RATES = ("minute", "hour", "day")
# Whether records are with the operating system before the answer leaves, or on the disk.
DURABILITIES = ("os", "fsync")


def check_name(kind: str, name: Any) -> str:
    """The name as Azure keeps it, in lower case. Raises UserError unless an endpoint or a deployment can have it."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(
            f'{kind} name "{name or ""}": use 3 to 32 letters, digits and "-", beginning with a letter'
            ' and not ending with "-"'
        )
    return name.lower()


def resolve(deployment: Any, revision: int, workspace: Workspace, debug: bool = False) -> ServingPlan:
    """Check a deployment and put what it runs from into place. Raises UserError naming field and remedy.

    debug: its one worker waits for an editor before it loads the script, and no request runs out of time.
    """
    store = EndpointStore(workspace)
    endpoint, name = deployment.endpoint_name, deployment.name
    where = f"deployment {name}"
    settings = deployment.request_settings
    timeout = getattr(settings, "request_timeout_ms", None) or TIMEOUT_MS
    concurrent = getattr(settings, "max_concurrent_requests_per_instance", None) or MAX_CONCURRENT
    if not 1 <= timeout <= LONGEST_TIMEOUT_MS:
        raise UserError(
            f"{where}: request_settings.request_timeout_ms: {timeout} is not between 1 and {LONGEST_TIMEOUT_MS}"
        )
    if concurrent < 1:
        raise UserError(f"{where}: request_settings.max_concurrent_requests_per_instance: {concurrent} is below 1")
    variables = texts(deployment.environment_variables)
    workers = _workers(where, variables)
    instances = (deployment.instance_count or 1) * workers
    if debug:
        timeout, instances, workers = DEBUG_TIMEOUT_MS, 1, 1
    collections, rolling_rate = _collections(deployment, workspace)
    durable = _durable(where, deployment.properties or {}, collections)

    base = Path(deployment.base_path or ".")
    model = resolve_model(deployment, base, workspace)
    code, script = code_of(deployment, base)
    if code is None and not (model and (model / "MLmodel").is_file()):
        raise UserError(
            f"{where}: code_configuration: required (code and scoring_script), unless the model is an MLflow model;"
            + (f" {model} holds no MLmodel file" if model else " there is no model")
        )
    if debug and code is None:
        raise UserError(f"{where}: --vscode-debug: there is no scoring script of yours; name one, code_configuration")
    environment = runs_in(deployment, model if code is None else None, base, [SERVER, COLLECTOR])
    folder = store.folder(endpoint) / "deployments" / name / str(revision)
    log = store.log(endpoint, name)
    with disk_errors(folder):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "model").mkdir(parents=True)
        from amlocal import environments  # for start-up time: packaging takes long to import

        # As Azure's images for inference do, an environment has the server whether or not it asks for it.
        # Its environments for MLflow models without a script have the Collector too.
        needs = [SERVER] if code else [SERVER, COLLECTOR]
        python = environments.python_for(environment, workspace, log, folder, needs)
        if model:
            # Azure keeps the last part of the model's path below AZUREML_MODEL_DIR.
            _copy(model, folder / "model" / model.name)
        if code:
            from amlocal.assets.snapshots import snapshot

            shutil.copytree(snapshot(workspace, code), folder / "code")
            if debug:
                from amlocal.environments import debugger

                prefix = folder / OVERLAY
                debugger.install(prefix, folder, debugger.DEBUGPY, debugger.sources(str(code)), log)
        else:
            (folder / "code").mkdir()
            shutil.copy2(MLFLOW_SCRIPT, folder / "code" / "score.py")
    _write_collector_config(folder, collections)
    sync(folder)
    return ServingPlan(
        revision=revision,
        python=str(python),
        folder=str(folder),
        entry_script=script,
        instances=instances,
        max_concurrent=concurrent,
        timeout_ms=timeout,
        variables=variables,
        collections=collections,
        rolling_rate=rolling_rate,
        durable=durable,
        workers=workers,
        debug=debug,
    )


def _workers(where: str, variables: dict[str, str]) -> int:
    """WORKER_COUNT, the inference server's processes per instance."""
    text = variables.get("WORKER_COUNT", "1")
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"{where}: environment_variables.WORKER_COUNT: {text!r} is not a positive number")
    return int(text)


def _durable(where: str, properties: dict[str, Any], collections: dict[str, Collection]) -> bool:
    """Whether an answer waits until its records are on the disk: properties.durability, which Azure keeps as a note."""
    durability = str(properties.get("durability", "os"))
    if durability not in DURABILITIES:
        raise UserError(f"{where}: properties.durability: {durability} is none of {', '.join(DURABILITIES)}")
    if durability == "fsync" and not collections:
        raise UserError(f"{where}: properties.durability: fsync, but its data_collector collects nothing")
    return durability == "fsync"


def resolve_model(deployment: Any, base: Path, workspace: Workspace) -> Path | None:
    """The model's file or folder on this disk."""
    model = deployment.model
    if model is None:
        return None
    try:
        if isinstance(model, str):
            registered = f"azureml:{model.removeprefix('azureml:')}"
            return uris.resolve(workspace, registered if uris.named(registered) else model, base, "custom_model")
        reference = uris.reference_to(model)
        if not reference:
            raise UserError("path: required, unless the model is one of the workspace's, azureml:NAME:VERSION")
        return uris.resolve(workspace, reference, Path(model.base_path or base), model.type or "custom_model")
    except UserError as error:
        raise UserError(f"deployment {deployment.name}: model: {error}") from error


def code_of(deployment: Any, base: Path) -> tuple[Path | None, str]:
    """The code folder and the scoring script in it; without a code configuration none, and the built-in one's name."""
    configuration = deployment.code_configuration
    if configuration is None:
        return None, "score.py"
    where = f"deployment {deployment.name}: code_configuration"
    if not configuration.code or not configuration.scoring_script:
        raise UserError(f"{where}: needs both code, a folder, and scoring_script, a file in it")
    code = (base / str(configuration.code)).resolve()
    script = str(configuration.scoring_script)
    if not code.is_dir():
        raise UserError(f"{where}.code: no such folder: {code}")
    if not (code / script).is_file() or not (code / script).resolve().is_relative_to(code):
        raise UserError(f"{where}.scoring_script: no such file in {code}: {script}")
    return code, script


def runs_in(deployment: Any, mlflow_model: Path | None, base: Path, needs: Sequence[str]) -> dict[str, Any] | None:
    """What the deployment runs in; an MLflow model without a script brings its own, to which Azure adds `needs`."""
    environment = environment_of(deployment.environment, base)
    if environment is None and mlflow_model:
        conda = mlflow_model / "conda.yaml"
        try:
            content = (read_yaml(conda) if conda.exists() else None) or {}
            dependencies = [*(content.get("dependencies") or []), *([{"pip": list(needs)}] if needs else [])]
        except (UserError, AttributeError, TypeError) as error:
            raise UserError(f"deployment {deployment.name}: model: {conda}: not a conda file: {error}") from error
        return {"conda_file": {**content, "dependencies": dependencies}}
    if environment is None:
        raise UserError(
            f"deployment {deployment.name}: environment: required with a scoring script; name one or give a file"
        )
    return environment


def _collections(deployment: Any, workspace: Workspace) -> tuple[dict[str, Collection], str]:
    """The enabled collections of data_collector, and how their files roll."""
    collector = deployment.data_collector
    if collector is None:
        return {}, "hour"
    rolling_rate = str(collector.rolling_rate or "hour").lower()
    if rolling_rate not in ROLLING_RATES:
        raise UserError(
            f"deployment {deployment.name}: data_collector.rolling_rate: {rolling_rate} is none of"
            f" {', '.join(ROLLING_RATES)}"
        )
    rate = 1.0 if collector.sampling_rate is None else float(collector.sampling_rate)
    enabled = {}
    for name, collection in collector.collections.items():
        if str(collection.enabled).lower() != "true":
            continue
        path = getattr(collection.data, "path", None) or (
            "azureml://datastores/workspaceblobstore/paths/modelDataCollector"
            f"/{deployment.endpoint_name}/{deployment.name}/{name}"
        )
        field = f"deployment {deployment.name}: data_collector.collections.{name}.data.path"
        try:
            stored = uris.DatastorePath.parse(str(path))
            folder = stored.place(workspace) if stored else None
        except UserError as error:
            raise UserError(f"{field}: {error}") from error
        if not folder:
            raise UserError(f"{field}: {path} is not of the form azureml://datastores/STORE/paths/PATH")
        enabled[name.lower()] = Collection(str(folder), 100 * rate)
    return enabled, rolling_rate


def _write_collector_config(folder: Path, collections: dict[str, Collection]) -> None:
    """What azureml-ai-monitoring reads at AZUREML_MDC_CONFIG_PATH (azureml/ai/monitoring/config/config.py)."""
    content = {
        "collections": {
            name: {"enabled": True, "sampleRatePercentage": each.percentage} for name, each in collections.items()
        },
        "runMode": "cloud",
    }
    write_json(folder / "collector.json", content)


def _copy(source: Path, target: Path) -> None:
    copy_into(source, target if source.is_dir() else target.parent)


def parse_traffic(texts: list[str]) -> dict[str, int]:
    """`["blue=90 green=10"]` or `["blue=90", "green=10"]` -> shares. Raises UserError."""
    shares: dict[str, int] = {}
    for text in " ".join(texts).replace(",", " ").split():
        name, equals, share = text.partition("=")
        if not name or not equals or not share.isdecimal():
            raise UserError(f'traffic "{text}": write NAME=PERCENTAGE, for example "blue=90 green=10"')
        shares[name] = int(share)
    return shares


def check_traffic(endpoint: str, traffic: dict[str, Any], mirror: dict[str, Any], deployments: Any) -> None:
    """What Azure accepts: shares of existing deployments that sum to 0 or 100; a mirrored one has none, 50 at most."""
    for kind, shares in (("traffic", traffic), ("mirror_traffic", mirror)):
        for name, share in shares.items():
            if name not in deployments:
                there = ", ".join(deployments) or "none"
                raise UserError(f'endpoint {endpoint}: {kind}: there is no deployment "{name}"; there is {there}')
            if not isinstance(share, int) or isinstance(share, bool) or not 0 <= share <= 100:
                raise UserError(f"endpoint {endpoint}: {kind}.{name}: {share!r} is not a whole number from 0 to 100")
    total = sum(traffic.values())
    if total not in (0, 100):
        told = ", ".join(f"{name}={share}" for name, share in traffic.items())
        raise UserError(f"endpoint {endpoint}: traffic: {told} sums to {total}; it must be 100, or 0 for none")
    mirrored = [name for name, share in mirror.items() if share]
    if len(mirrored) > 1 or any(mirror[name] > 50 for name in mirrored):
        raise UserError(
            f"endpoint {endpoint}: mirror_traffic: one deployment can be mirrored to, with at most 50 percent"
        )
    if any(traffic.get(name) for name in mirrored):
        raise UserError(f"endpoint {endpoint}: mirror_traffic: {mirrored[0]} gets live traffic already")
