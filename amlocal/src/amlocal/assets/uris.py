"""What a path in a spec points at: `azureml:name:1`, `azureml://...`, `runs:/...`, `https://...`, or a plain path."""

import os
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from amlocal.assets import remote
from amlocal.assets.store import BUILT_IN_DATASTORES, Assets
from amlocal.core.errors import Absent, NotFound, UserError
from amlocal.core.names import is_name
from amlocal.core.records import read_record
from amlocal.core.workspace import Workspace

# The long forms name the subscription, the group and the workspace first; here there is one.
_PLACE = r"azureml://(?:subscriptions/[^/]+/resource[gG]roups/[^/]+/(?:.*/)?workspaces/[^/]+/)?"
_DATASTORE = re.compile(_PLACE + r"datastores/(?P<store>[^/]+)(?:/paths/|/?$)(?P<path>.*)")
JOB_OUTPUT = re.compile(_PLACE + r"jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/paths/(?P<path>.*))?")
ASSET = re.compile(r"azureml:(?![/])(?P<name>[^:@/]+)(?::(?P<version>[^:@/]+)|@(?P<label>[^:@/]+))?")
ARM = re.compile(
    r"(?:azureml:)?/{0,2}(?:subscriptions|locations)/.+/workspaces/[^/]+/"
    r"(?P<kind>data|models|environments|components)/(?P<name>[^/]+)"
    r"(?:/versions/(?P<version>[^/]+)|/labels/(?P<label>[^/]+))?"
)
RUN = re.compile(r"runs:/+(?P<run>[^/]+)(?:/(?P<path>.*))?")
REMOTE = remote.SCHEMES
SHORT = re.compile(r"[\w.-]{2,}(:|@)[\w.-]+")  # name:version, name@label; one letter before a colon is a drive
REGISTRY = re.compile(r"azureml://registries/(?P<registry>[^/]+)/.*")


@dataclass(frozen=True)
class DatastorePath:
    """`azureml://datastores/STORE/paths/PATH`, in its short or its long form.

    path: as it is written. As in azure-ai-ml and azureml-fsspec nothing is unquoted: `%20` is three characters, and a
    space is written as a space.
    """

    uri: str
    store: str
    path: str

    @classmethod
    def parse(cls, uri: str) -> "DatastorePath | None":
        """None for what is no path in a datastore. Raises UserError for one that leads out of it."""
        match = _DATASTORE.fullmatch(uri)
        if not match:
            return None
        path = match["path"].replace("\\", "/") if os.name == "nt" else match["path"]
        if path.startswith("/") or posixpath.normpath(path).split("/")[0] == ".." or "\0" in path:
            raise UserError(f'{uri}: leads out of datastore "{match["store"]}"; write a path below it, without ".."')
        return cls(uri, match["store"], match["path"])

    def place(self, workspace: Workspace) -> Path:
        """Where it lies on this disk, there or not. Raises NotFound for no such datastore, UserError for a link out."""
        return below(datastore(workspace, self.store, self.uri), self.path, self.uri)


@dataclass(frozen=True)
class Named:
    """A reference to something registered. kind: data, models, environments or components, if the reference says it."""

    name: str
    version: str | None = None
    label: str | None = None
    kind: str | None = None


def named(reference: str) -> Named | None:
    """`azureml:NAME:VERSION`, `azureml:NAME@LABEL`, `azureml:NAME` or an ARM id; None for anything else."""
    if match := ARM.fullmatch(reference):
        return Named(match["name"], match["version"], match["label"], match["kind"])
    if match := ASSET.fullmatch(reference):
        return Named(match["name"], match["version"], match["label"])
    return None


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


def _located(workspace: Workspace, uri: str, base: Path, asset_type: str) -> Path | str:
    if path := DatastorePath.parse(uri):
        return path.place(workspace)
    if match := JOB_OUTPUT.fullmatch(uri):
        return _job_output(workspace, uri, match["job"], match["output"], match["path"])
    if match := RUN.fullmatch(uri):
        from amlocal.assets.models import download

        return download(workspace, f"runs:/{run_id(workspace, match['run'])}/{match['path'] or ''}")
    if uri.startswith(REMOTE):
        return uri
    if asset := named(uri):
        if asset_type.endswith("_model") or asset.kind == "models":
            from amlocal.assets.models import local_path

            return local_path(workspace, asset.name, asset.version, asset.label)
        spec = Assets(workspace, "data").get(asset.name, asset.version, asset.label)
        return locate(workspace, spec["path"], base, spec.get("type", "uri_folder"))
    if REGISTRY.fullmatch(uri):
        raise Absent(
            f"{uri}: registries exist in Azure only; download it there (`az ml model download --registry-name ...`)"
            " and give the local path"
        )
    if uri.startswith("azureml:"):
        raise UserError(
            f"{uri}: not understood; use azureml:NAME:VERSION, azureml://datastores/STORE/paths/PATH or"
            " azureml://jobs/JOB/outputs/OUTPUT/paths/PATH"
        )
    if uri.startswith("file://"):
        return Path(url2pathname(urlparse(uri).path))
    return (base / uri.removeprefix("file:")).resolve()


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
    raise Absent(f'{uri}: datastore "{name}" is not in this workspace; see `aml datastore create -f FILE`')


@dataclass(frozen=True)
class _Job:
    """What is looked up in a job's record."""

    outputs: dict[str, dict[str, str]]
    run_id: str | None = None


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
        raise Absent(f'{uri}: job "{job}" is not in this workspace; see `aml job list`')
    outputs = read_record(record, _Job).outputs
    if output not in outputs:
        raise NotFound(f'{uri}: job "{job}" has no output "{output}"; it has {", ".join(outputs) or "none"}')
    folder = output_path(workspace, outputs[output]["path"])
    return below(folder, path, uri) if path else folder


def output_path(workspace: Workspace, path: str) -> Path:
    """Where an output on record lies; the artifacts of a run on an MLflow server are fetched from there."""
    if "://" in path or path.startswith("mlflow-artifacts:"):
        from amlocal.assets.models import download

        return download(workspace, path)
    return Path(path)
