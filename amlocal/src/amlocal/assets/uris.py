"""What a path in a spec points at: `azureml:name:1`, `azureml://...`, `runs:/...`, `https://...`, or a plain path."""

import os
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from amlocal.assets import remote
from amlocal.assets.store import BUILT_IN_DATASTORES, Assets
from amlocal.core import registries
from amlocal.core.errors import Absent, NotFound, UserError
from amlocal.core.names import is_name
from amlocal.core.records import read_record
from amlocal.core.workspace import Workspace

# The long forms name the subscription, the group and the workspace first.
_SCOPE = r"(?:(?:subscriptions|locations|resource[gG]roups)/.+/workspaces/(?P<workspace>[^/]+)/)"
_PLACE = rf"azureml://{_SCOPE}?"
_DATASTORE = re.compile(_PLACE + r"datastores/(?P<store>[^/]+)(?:/paths/|/?$)(?P<path>.*)")
# What a run has logged is also found without "paths", as Microsoft's pages on MLflow models write it.
JOB_OUTPUT = re.compile(
    _PLACE + r"jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)"
    r"(?:/(?:paths(?:/|$)|(?<=/outputs/artifacts/)|$)(?P<path>.*))?"
)
# A job's default output: what its run has logged, where Azure keeps it.
ARTIFACTS = re.compile(
    _PLACE + r"datastores/workspaceartifactstore/(?:paths/)?ExperimentRun/dcid\.(?P<job>[^/]+)/*(?P<path>.*)"
)
DEFAULT_OUTPUT = "default"
# As azure-ai-ml's parse_name_version: the version is what stands after the first colon.
ASSET = re.compile(r"azureml:(?![/])(?P<name>[^:@/]+)(?::(?P<version>[^@/]+)|@(?P<label>[^:@/]+))?")
ARM = re.compile(
    rf"(?:(?:azureml:)?/{{0,2}}{_SCOPE}|azureml://)"
    r"(?P<kind>data|models|environments|components|codes|computes?|jobs|datastores|(?:online)?endpoints|schedules)"
    r"/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+)|/labels/(?P<label>[^/]+))?/?",
    re.IGNORECASE,
)
RUN = re.compile(r"runs:/+(?P<run>[^/]+)(?:/(?P<path>.*))?")
MLFLOW = re.compile(r"(?:models|mlflow-artifacts):/.*")
REMOTE = remote.SCHEMES
ELSEWHERE = ("azureml:", "runs:", "models:", "mlflow-artifacts:", *REMOTE)  # what begins so is no path on this disk
SHORT = re.compile(r"(?!azureml:)[\w.-]{2,}(:[\w.:-]+|@[\w.-]+)")  # NAME:VERSION, NAME@LABEL; C: is a drive
REGISTRY = re.compile(
    r"azureml://(?:registries|feeds)/(?P<registry>[^/]+)/(?P<kind>data|models|environments|components|codes)"
    r"/(?P<name>[^/]+)/(?:versions/(?P<version>[^/]+)|labels/(?P<label>[^/]+))/?",
    re.IGNORECASE,
)
IN_A_REGISTRY = "azureml://registries/NAME/KIND/NAME/versions/VERSION, or /labels/latest"
_EVERYTHING_BELOW = re.compile(r"(?<=[^/])/\*\*/?$")
_NO_PREFIX = re.compile(
    rf"//?{_SCOPE}|//(?:datastores|jobs|registries|feeds)/|//(?:data|models)/[^/]+/(?:versions|labels)/", re.IGNORECASE
)
_INSIDE_A_PATH = re.compile(r"/.*?/(?P<reference>(?:azureml|file|models|mlflow-artifacts|runs):.+)")


@dataclass(frozen=True)
class DatastorePath:
    """`azureml://datastores/STORE/paths/PATH`, in its short or its long form.

    path: as it is written. As in azure-ai-ml and azureml-fsspec nothing is unquoted: `%20` is three characters, and a
    space is written as a space.
    """

    uri: str
    store: str
    path: str
    workspace: str | None = None

    @classmethod
    def parse(cls, uri: str) -> "DatastorePath | None":
        """None for what is no path in a datastore. Raises UserError for one that leads out of it."""
        match = _DATASTORE.fullmatch(uri)
        if not match:
            return None
        path = match["path"].replace("\\", "/") if os.name == "nt" else match["path"]
        if path.startswith("/") or posixpath.normpath(path).split("/")[0] == ".." or "\0" in path:
            raise UserError(f'{uri}: leads out of datastore "{match["store"]}"; write a path below it, without ".."')
        return cls(uri, match["store"], match["path"], match["workspace"])

    def place(self, workspace: Workspace) -> Path:
        """Where it lies on this disk, there or not. Raises NotFound for no such datastore, UserError for a link out."""
        owner = registries.named(workspace, self.workspace)
        return below(datastore(owner, self.store, self.uri), self.path, self.uri)


@dataclass(frozen=True)
class Named:
    """A reference to something registered. kind: as in an ARM id (data, models, environments, ...), if it says so.

    workspace, registry: in which it is, if it says so.
    """

    name: str
    version: str | None = None
    label: str | None = None
    kind: str | None = None
    workspace: str | None = None
    registry: str | None = None

    def owner(self, workspace: Workspace) -> Workspace:
        """The workspace or the registry that it is in; `workspace` if it says nothing. Raises Absent."""
        if self.registry:
            return registries.find(workspace, self.registry)
        return registries.named(workspace, self.workspace) if self.workspace else workspace


def named(reference: str) -> Named | None:
    """`azureml:NAME:VERSION`, `azureml:NAME@LABEL`, `azureml:NAME`, an ARM id or the address of an asset in a registry;
    None for anything else."""
    if match := REGISTRY.fullmatch(reference):
        kind = match["kind"].lower()
        return Named(match["name"], match["version"], match["label"], kind, registry=match["registry"])
    if match := ARM.fullmatch(reference):
        return Named(match["name"], match["version"], match["label"], match["kind"].lower(), match["workspace"])
    if match := ASSET.fullmatch(reference):
        return Named(match["name"], match["version"], match["label"])
    return None


def is_of(reference: str, workspace: Workspace, name: str, version: str) -> bool:
    """Whether a reference names this version in this workspace or registry, whatever kind it says."""
    found = named(reference)
    if found is None or (found.name, found.version) != (name, version):
        return False
    try:
        return found.owner(workspace).root == workspace.root
    except NotFound:
        return False


def named_as(noun: str, reference: str) -> Named:
    """What a reference to a registered `noun` (model, environment, component) names; `azureml:` may be missing.

    Raises UserError for what is none.
    """
    whole = f"azureml:{reference.removeprefix('azureml:')}"
    found = named(whole)
    if not found:
        forms = IN_A_REGISTRY if _is_of_a_registry(whole) else "azureml:NAME:VERSION, or azureml:NAME@latest"
        raise UserError(f"{reference}: not understood; use {forms}")
    if found.kind and found.kind != f"{noun}s":
        raise UserError(f"{reference}: this names one of the {_whose(found)} {found.kind}, not a {noun}")
    return found


def name_in(reference: str) -> str:
    """The name of what has no version (compute, an endpoint, a job): `NAME`, `azureml:NAME` or an ARM id."""
    found = named(f"azureml:{reference.removeprefix('azureml:')}")
    return found.name if found else reference


def _is_of_a_registry(reference: str) -> bool:
    return reference.lower().startswith(("azureml://registries/", "azureml://feeds/"))


def _whose(found: Named) -> str:
    return "registry's" if found.registry else "workspace's"


def reference_to(asset: Any) -> str:
    """What azure-ai-ml's Model or Data refers to: its id once it is registered, else its path; "" if it has neither."""
    return str(getattr(asset, "id", None) or asset.path or "")


def written(reference: str, base: Path) -> str:
    """A reference as its author wrote it, who counts from `base`: azure-ai-ml takes some for what they are not.

    It takes `azureml:` away from what may be a registered asset, and what has no host for a local path, so that
    `models:/m-1` becomes `/current/folder/models:/m-1`.
    """
    if (base / reference).exists() or (base / reference.removeprefix("file:")).exists():
        return reference
    if match := _INSIDE_A_PATH.fullmatch(reference):
        return match["reference"]
    above, slash, last = reference.rpartition("/")
    if slash and SHORT.fullmatch(last) and Path(above).is_absolute() and Path(above).is_dir():
        return f"azureml:{last}"
    if SHORT.fullmatch(reference) or _NO_PREFIX.match(reference):
        return f"azureml:{reference}"
    return reference


def resolve(workspace: Workspace, uri: str, base: Path, asset_type: str = "uri_folder") -> Path:
    """The file or folder that `uri` means; a relative path counts from `base`. What is remote is fetched.

    asset_type: an `azureml:name:version` is a model when this is one of the model types, else a data asset.
    Raises UserError or NotFound; the path returned exists.
    """
    found = locate(workspace, uri, base, asset_type)
    return remote.fetch(workspace, found) if isinstance(found, str) else found


def locate(workspace: Workspace, uri: str, base: Path, asset_type: str = "uri_folder") -> Path | str:
    """As `resolve`, but what is remote stays an address (of https) and is not fetched."""
    found = _located(workspace, uri, base, asset_type)
    if isinstance(found, str):
        remote.refuse_folder(found, asset_type)
        return remote.https_form(found)
    if not found.exists():
        told = f"{uri}: no such file or folder" + ("" if str(found) == uri else f" ({found})")
        raise Absent(told, None if uri.startswith("azureml:") else found)
    return found


def refuse_misfit(found: Path | str, asset_type: str) -> None:
    """Raises UserError for a file that is to be a uri_folder, and a folder that is to be a uri_file, as azure-ai-ml."""
    misfits = {"uri_folder": Path.is_file, "uri_file": Path.is_dir}
    if isinstance(found, Path) and asset_type in misfits and misfits[asset_type](found):
        raise UserError(f"File path does not match asset type {asset_type}: {found}")


def _located(workspace: Workspace, uri: str, base: Path, asset_type: str) -> Path | str:
    if uri.startswith(REMOTE):
        return uri
    uri = _EVERYTHING_BELOW.sub("", written(uri, base))
    if match := ARTIFACTS.fullmatch(uri):
        owner = registries.named(workspace, match["workspace"])
        if (owner.jobs / match["job"] / "job.json").exists():
            return _job_output(owner, uri, match["job"], "artifacts", match["path"])
    if path := DatastorePath.parse(uri):
        place = path.place(workspace)
        if not path.path.strip("/"):
            place.mkdir(parents=True, exist_ok=True)  # a datastore is there before anything is in it
        return place
    if match := JOB_OUTPUT.fullmatch(uri):
        owner = registries.named(workspace, match["workspace"])
        return _job_output(owner, uri, match["job"], match["output"], match["path"])
    if match := RUN.fullmatch(uri):
        from amlocal.assets.models import download

        return download(workspace, f"runs:/{run_id(workspace, match['run'])}/{match['path'] or ''}")
    if MLFLOW.fullmatch(uri):
        from amlocal.assets.models import download

        return download(workspace, uri)
    if asset := named(uri):
        if asset.kind not in (None, "data", "models"):
            raise UserError(f"{uri}: this names one of the {_whose(asset)} {asset.kind}, not data or a model")
        owner = _owner_of(asset, workspace, uri)
        if asset.kind == "models" or (asset.kind is None and asset_type.endswith("_model")):
            from amlocal.assets.models import local_path

            return local_path(owner, asset.name, asset.version, asset.label)
        spec = Assets(owner, "data").get(asset.name, asset.version, asset.label)
        return locate(owner, spec["path"], base, spec.get("type", "uri_folder"))
    if _is_of_a_registry(uri):
        raise UserError(f"{uri}: not understood; use {IN_A_REGISTRY}")
    if uri.startswith("azureml:"):
        raise UserError(
            f"{uri}: not understood; use azureml:NAME:VERSION, azureml://datastores/STORE/paths/PATH or"
            " azureml://jobs/JOB/outputs/OUTPUT/paths/PATH"
        )
    if uri.startswith("file:/"):
        return Path(url2pathname(urlparse(uri).path))
    return (base / uri.removeprefix("file:")).resolve()


def _owner_of(asset: Named, workspace: Workspace, uri: str) -> Workspace:
    try:
        return asset.owner(workspace)
    except NotFound as error:
        raise Absent(f"{uri}: {error}") from error


def below(folder: Path, relative: str, uri: str) -> Path:
    """`folder / relative`, which must not lead out of `folder`."""
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UserError(f"{uri}: leads out of {folder}")
    return path


def datastore(workspace: Workspace, name: str, uri: str) -> Path:
    """The folder that stands for a datastore. Raises NotFound for one that nobody has made."""
    if name in BUILT_IN_DATASTORES or (is_name(name) and (workspace.assets / "datastore" / name).is_dir()):
        return workspace.datastore(name)
    raise Absent(f'{uri}: datastore "{name}" was not found in this workspace; see `aml datastore create -f FILE`')


@dataclass(frozen=True)
class _Job:
    """What is looked up in a job's record."""

    outputs: dict[str, dict[str, str]]
    run_id: str | None = None
    status: str = "Completed"
    spec: dict[str, Any] = field(default_factory=dict)

    def lacks(self, job: str, output: str) -> str:
        """Why there is no such output."""
        if output != "artifacts" and output not in (declared := self.spec.get("outputs") or {}):
            names = dict.fromkeys([*self.outputs, *declared])
            return f'job "{job}" has no output "{output}"; it has {", ".join(names) or "none"}'
        if self.status in ("Failed", "Canceled"):
            return f'job "{job}" ended as {self.status}, without its output "{output}"; see `aml job show -n {job}`'
        return (
            f'job "{job}" is {self.status}; its output "{output}" can be used when it has completed'
            f" (`aml job stream -n {job}` waits for it)"
        )


def run_id(workspace: Workspace, run: str) -> str:
    """MLflow's run id of what `runs:/...` names: a job's name, as in Azure, or the id itself. Raises UserError."""
    record = workspace.jobs / run / "job.json"
    if not record.exists():
        return run
    found = read_record(record, _Job).run_id
    if not found:
        raise UserError(f'runs:/{run}: job "{run}" has no run yet; see `aml job show -n {run}`')
    return str(found)


def _job_output(workspace: Workspace, uri: str, job: str, output: str, path: str | None) -> Path:
    record = workspace.jobs / job / "job.json"
    if not record.exists():
        raise Absent(f'{uri}: job "{job}" was not found in this workspace; see `aml job list`')
    found = read_record(record, _Job)
    if output == DEFAULT_OUTPUT and output not in (found.spec.get("outputs") or {}):
        output = "artifacts"
    if output not in found.outputs:
        raise NotFound(f"{uri}: {found.lacks(job, output)}")
    folder = output_path(workspace, found.outputs[output]["path"])
    return below(folder, path, uri) if path else folder


def output_path(workspace: Workspace, path: str) -> Path:
    """Where an output on record lies; the artifacts of a run on an MLflow server are fetched from there."""
    if "://" in path or path.startswith("mlflow-artifacts:"):
        from amlocal.assets.models import download

        return download(workspace, path)
    return Path(path)
