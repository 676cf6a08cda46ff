"""What a path in a spec points at on this disk: `azureml:name:1`, `azureml://...`, `runs:/...`, or a plain path."""

import re
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from amlocal.assets import Assets
from amlocal.errors import NotFound, UserError
from amlocal.workspace import Workspace, read_json

DATASTORE = re.compile(r"azureml://(?:.*/)?datastores/(?P<store>[^/]+)/paths/(?P<path>.*)")
JOB_OUTPUT = re.compile(r"azureml://(?:.*/)?jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/paths/(?P<path>.*))?")
ASSET = re.compile(r"azureml:(?!//)(?P<name>[^:@/]+)(?::(?P<version>[^:@/]+)|@(?P<label>[^:@/]+))?")
SHORT = re.compile(r"[\w.-]{2,}(:|@)[\w.-]+")  # name:version, name@label; one letter before a colon is a drive


def resolve(workspace: Workspace, uri: str, base: Path, asset_type: str = "uri_folder") -> Path:
    """The file or folder that `uri` means; a relative path counts from `base`.

    asset_type: an `azureml:name:version` is a model when this is one of the model types, else a data asset.
    Raises UserError or NotFound; the path returned exists.
    """
    path = _resolve(workspace, uri, base, asset_type)
    if not path.exists():
        raise NotFound(f"{uri}: no such file or folder" + ("" if str(path) == uri else f" ({path})"))
    return path


def _resolve(workspace: Workspace, uri: str, base: Path, asset_type: str) -> Path:
    if match := DATASTORE.fullmatch(uri):
        return below(workspace.datastore(match["store"]), match["path"], uri)
    if match := JOB_OUTPUT.fullmatch(uri):
        return _job_output(workspace, uri, match["job"], match["output"], match["path"])
    if uri.startswith("runs:/"):
        from amlocal.models import download

        return download(workspace, uri)
    if uri.startswith(("http://", "https://", "wasbs://", "abfss://", "adl://")):
        raise UserError(
            f"{uri}: remote data is not read here; download it and give the path, e.g. `--set inputs.NAME.path=FOLDER`"
        )
    if match := ASSET.fullmatch(uri):
        if asset_type.endswith("_model"):
            from amlocal.models import local_path

            return local_path(workspace, match["name"], match["version"], match["label"])
        spec = Assets(workspace, "data").get(match["name"], match["version"], match["label"])
        return resolve(workspace, spec["path"], base, spec.get("type", "uri_folder"))
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


def _job_output(workspace: Workspace, uri: str, job: str, output: str, path: str | None) -> Path:
    record = workspace.jobs / job / "job.json"
    if not record.exists():
        raise NotFound(f'{uri}: job "{job}" is not in this workspace; see `aml job list`')
    outputs = read_json(record)["outputs"]
    if output not in outputs:
        raise NotFound(f'{uri}: job "{job}" has no output "{output}"; it has {", ".join(outputs) or "none"}')
    folder = output_path(workspace, outputs[output]["path"])
    return below(folder, path, uri) if path else folder


def output_path(workspace: Workspace, path: str) -> Path:
    """Where an output on record lies; the artifacts of a run on an MLflow server are fetched from there."""
    if "://" in path or path.startswith("mlflow-artifacts:"):
        from amlocal.models import download

        return download(workspace, path)
    return Path(path)
