"""The model registry: MLflow's, with the names and the versions that `az ml model` shows.

MLflow numbers versions itself, Azure takes any word. So Azure's version is kept as a tag, and every look-up goes by it;
what MLflow registered by itself has none and goes by its number.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from amlocal.assets.uploads import holds
from amlocal.core.documents import read_yaml
from amlocal.core.durable import make_folder, publish
from amlocal.core.errors import Absent, NotFound, UserError
from amlocal.core.files import copy_into, disk_errors, hash_path
from amlocal.core.mlflow_store import Registry, is_there
from amlocal.core.names import (
    ACTIVE,
    ALL,
    View,
    checked_name,
    checked_version,
    file_of,
    in_view,
    next_version,
    now,
    refuse_changes,
    texts,
    user_name,
    version_key,
)
from amlocal.core.workspace import Workspace

# Tags that are ours, not the user's.
VERSION, TYPE, FILE, CONTENT = "azureml.version", "azureml.type", "azureml.file", "azureml.content"
STAGE, PROPERTIES, ARCHIVED_TAG = "azureml.stage", "azureml.properties", "azureml.archived"
FLAVORS = "azureml.flavors"
OURS = (VERSION, TYPE, FILE, CONTENT, STAGE, PROPERTIES, ARCHIVED_TAG, FLAVORS)

MUTABLE = ("description", "properties", "stage", "tags")
DEVELOPMENT = "Development"  # the stage of a version that is given none


@dataclass(frozen=True)
class Registered:
    """A version of a model. item: MLflow's; version: as Azure would call it."""

    item: Any
    version: str
    archived: bool

    @property
    def created(self) -> tuple[int, tuple[int, int, str]]:
        return self.item.creation_timestamp or 0, version_key(str(self.item.version))


def create(
    workspace: Workspace, spec: dict[str, Any], source: Path, run_id: str | None, called: str | None = None
) -> dict[str, Any]:
    """Register the file or folder `source` as a version of `spec["name"]`; its content is copied.

    called: the folder's name in what is kept, which a deployment finds below AZUREML_MODEL_DIR; default: its own.
    The version is the one that `spec` asks for, else one more than the highest number. The same content under the same
    version again brings description and tags up to date. Raises UserError for another content.
    """
    name, wanted = checked_name("model", spec["name"]), spec.get("version")
    _refuse_own_tags(name, spec.get("tags"))
    if wanted is not None:
        checked_version("model", name, wanted)
    content, kind = hash_path(source), spec.get("type") or "custom_model"
    registry = Registry(workspace)
    with workspace.lock("models"):
        there = {found.version: found for found in every(workspace, name)}
        version = str(wanted) if wanted is not None else next_version(iter(there))
        if version in there:
            tags = there[version].item.tags or {}
            if tags.get(CONTENT) != content or tags.get(TYPE) != kind:
                raise UserError(f'model "{name}": version {version} exists with another content; give a higher version')
            _make_whole(there[version].item, source)
            changed = {key: spec[key] for key in MUTABLE if spec.get(key)}
            _write(registry, there[version].item, changed)
            return describe(workspace, get(workspace, name, version))
        # Copied first, registered then: whatever interrupts, what is registered is whole.
        place = workspace.root / "models" / name / file_of(version)
        kept = place / (source.name if called in (None, "..") else str(called)) if source.is_dir() else place
        _put(source, place, kept)
        tags = {VERSION: version, TYPE: kind, CONTENT: content, **texts(spec.get("tags")), **_own_tags(spec)}
        if flavors := spec.get("flavors") or (flavors_of(source) if kind == "mlflow_model" else None):
            tags[FLAVORS] = json.dumps(flavors, default=str)
        if not source.is_dir():
            tags[FILE] = source.name
        if not there:
            _create_name(registry, name)
        made = registry.create_model_version(
            name, kept.as_uri(), run_id=run_id, tags=tags, description=spec.get("description")
        )
    return describe(workspace, Registered(made, version, False))


def flavors_of(folder: Path) -> dict[str, Any]:
    """The flavors that the MLmodel file of a model's folder lists, as azure-ai-ml sends them."""
    try:
        told = read_yaml(folder / "MLmodel", warn=False)
    except UserError:
        return {}
    flavors = told.get("flavors") if isinstance(told, Mapping) else None
    return dict(flavors) if isinstance(flavors, Mapping) else {}


def _make_whole(item: Any, source: Path) -> None:
    """Write a version's content again where that on the disk is not what was registered: a disk has torn it."""
    address = urlsplit(item.source)
    if address.scheme != "file":
        return
    place = Path(url2pathname(address.path))
    kept = place if source.is_dir() else place / item.tags[FILE]
    if not holds(kept, source):
        _put(source, place, kept if source.is_dir() else place, item.tags.get(FILE))


def _put(source: Path, place: Path, kept: Path, name: str | None = None) -> None:
    """Make `kept`, at or below `place`, a copy of `source`; it is copied beside it first, so that nothing is lost.

    name: of the file, where `source` is one and was registered under another.
    """
    make_folder(place.parent)
    with disk_errors(place), tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as scratch:
        new = Path(scratch, "new")
        copy_into(source, new / kept.relative_to(place))
        if name and name != source.name:
            (new / source.name).replace(new / name)
        publish(new, place)


def _create_name(registry: Registry, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        registry.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise UserError(f'model "{name}": {error.message}') from error


def _refuse_own_tags(name: str, tags: Any) -> None:
    for key in tags or ():
        if key in OURS:
            raise UserError(f'model "{name}": tags.{key}: this tag is kept by aml itself; call it something else')


def _own_tags(spec: Mapping[str, Any]) -> dict[str, str]:
    own = {STAGE: spec.get("stage"), PROPERTIES: json.dumps(spec["properties"]) if spec.get("properties") else None}
    return {key: value for key, value in own.items() if value}


def _write(registry: Registry, item: Any, changed: Mapping[str, Any]) -> None:
    """Change what of a version may change; tags that `changed["tags"]` no longer has go."""
    _refuse_own_tags(item.name, changed.get("tags"))
    if "description" in changed:
        registry.update_model_version(item.name, item.version, description=changed["description"] or "")
    tags = _own_tags(changed)
    if "tags" in changed:
        tags |= texts(changed["tags"])
        for key in (item.tags or {}).keys() - tags.keys() - set(OURS):
            registry.delete_model_version_tag(item.name, item.version, key)
    for key, value in tags.items():
        registry.set_model_version_tag(item.name, item.version, key, value)


def revise(
    workspace: Workspace, name: str, wanted: Mapping[str, Any], version: str | None = None, label: str | None = None
) -> dict[str, Any]:
    """Make the version read as `wanted`, which differs in what may change only. Raises NotFound, UserError."""
    with workspace.lock("models"):
        found = get(workspace, name, version, label)
        changed = refuse_changes(f'model "{name}"', describe(workspace, found), wanted, MUTABLE)
        _write(Registry(workspace), found.item, changed)
        return describe(workspace, get(workspace, name, found.version))


def archive(
    workspace: Workspace, name: str, version: str | None = None, label: str | None = None, archived: bool = True
) -> None:
    """Hide a version, or without one the whole model, from `list`; with `archived` False show it again."""
    registry = Registry(workspace)
    flag = str(archived).lower()
    if not version and not label:
        if not every(workspace, name):
            get(workspace, name)  # raises
        registry.set_registered_model_tag(name, ARCHIVED_TAG, flag)
        return
    if not archived and _whole_is_archived(registry, name):
        raise UserError(
            f'model "{name}" is archived as a whole, no version of it can be restored by itself;'
            f" see `aml model restore -n {name}{workspace.flag}`"
        )
    item = get(workspace, name, version, label).item
    registry.set_model_version_tag(name, item.version, ARCHIVED_TAG, flag)


def _whole_is_archived(registry: Registry, name: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool((registry.get_registered_model(name).tags or {}).get(ARCHIVED_TAG) == "true")
    except MlflowException:
        return False


def describe(workspace: Workspace, found: Registered) -> dict[str, Any]:
    """A version as `az ml model show` prints it."""
    item = found.item
    tags = dict(item.tags or {})
    own = {key: tags.pop(key, None) for key in OURS}
    return {
        "creation_context": {
            "created_at": _time(item.creation_timestamp),
            "created_by": (user := user_name()),
            "created_by_type": "User",
            "last_modified_at": _time(item.last_updated_timestamp or item.creation_timestamp),
            "last_modified_by": user,
            "last_modified_by_type": "User",
        },
        "description": item.description or None,
        "flavors": json.loads(own[FLAVORS] or "{}"),
        "id": workspace.prefixed_id("models", item.name, "versions", found.version),
        "job_name": _job_name(workspace, item.run_id),
        "name": item.name,
        "path": _shown(item.source, own[FILE]),
        "properties": json.loads(own[PROPERTIES] or "{}"),
        "stage": "Archived" if found.archived else own[STAGE] or DEVELOPMENT,
        "tags": tags,
        "type": own[TYPE] or "mlflow_model",
        "version": found.version,
    }


def _shown(source: str, file: str | None) -> str:
    """Where a version's content lies: on this disk as a path, elsewhere as MLflow's address."""
    address = urlsplit(source)
    folder = url2pathname(address.path) if address.scheme == "file" else source
    return f"{folder.rstrip('/')}/{file}" if file else folder


def get(workspace: Workspace, name: str, version: str | None = None, label: str | None = None) -> Registered:
    """One version, archived or not; with neither version nor label the latest that is not. Raises NotFound."""
    found = every(workspace, name)
    if not found:
        raise Absent(f'model "{name}" was not found in {workspace.shown}; see `aml model list{workspace.flag}`')
    if version is None:
        if label not in (None, "latest"):
            raise NotFound(f'model "{name}": label "{label}" is not known; only "latest" is')
        active = [one for one in found if not one.archived]
        if not active:
            raise NotFound(
                f'model "{name}": every version is archived; give one, or `aml model restore -n {name}{workspace.flag}`'
            )
        return active[0]
    for one in found:
        if one.version == str(version):
            return one
    there = ", ".join(one.version for one in found)
    raise Absent(f'model "{name}": version {version} was not found; there is {there}')


def versions(workspace: Workspace, name: str, view: View = ACTIVE) -> list[Registered]:
    """The versions of one name, the latest created first."""
    return [one for one in every(workspace, name) if view == ALL or in_view(one.archived, view)]


def every(workspace: Workspace, name: str) -> list[Registered]:
    """All versions of one name, archived ones too, the latest created first."""
    if not isinstance(name, str) or not is_there(workspace):
        return []
    registry = Registry(workspace)
    items = list(registry.search_model_versions(f"name = '{_quoted(name)}'"))
    whole = bool(items) and _whole_is_archived(registry, name)
    asked = {tags[VERSION] for item in items if VERSION in (tags := item.tags or {})}
    found = []
    for item in sorted(items, key=lambda item: int(item.version)):
        tags = item.tags or {}
        version = tags.get(VERSION) or str(item.version)
        if VERSION not in tags and version in asked:  # somebody had asked for the number MLflow was to give next
            version = next_version(iter([*asked, *(str(each.version) for each in items)]))
            asked.add(version)
        found.append(Registered(item, version, whole or tags.get(ARCHIVED_TAG) == "true"))
    return sorted(found, key=lambda one: one.created, reverse=True)


def taken(workspace: Workspace, name: str) -> list[str]:
    """The versions that there are of a name, archived ones too."""
    return [one.version for one in every(workspace, name)]


def names(workspace: Workspace) -> list[str]:
    if not is_there(workspace):
        return []
    registry = Registry(workspace)
    page = registry.search_registered_models()
    found = [model.name for model in page]
    while page.token:
        page = registry.search_registered_models(page_token=page.token)
        found += [model.name for model in page]
    return sorted(found)


def local_path(workspace: Workspace, name: str, version: str | None, label: str | None) -> Path:
    """Where the content of a registered model lies: its folder, or its file if it was registered as one."""
    item = get(workspace, name, version, label).item
    folder = download(workspace, item.source)
    file = dict(item.tags or {}).get(FILE)
    return folder / file if file else folder


def _artifacts_of(workspace: Workspace, uri: str) -> str:
    """Where the files of `models:/NAME/VERSION`, `models:/NAME@ALIAS` or `models:/ID` lie; another URI as it is.

    MLflow would look a name up in the registry that its process has been told last, whatever it is given here.
    """
    from mlflow.store.artifact.utils.models import _parse_model_uri, get_model_name_and_version

    registry = Registry(workspace)
    while uri.startswith("models:"):  # a version's files may be those of a logged model
        model_id = _parse_model_uri(uri).model_id
        if model_id:
            return registry.get_logged_model(model_id).artifact_location
        uri = registry.get_model_version_download_uri(*get_model_name_and_version(registry, uri))
    return uri


def download(workspace: Workspace, uri: str) -> Path:
    """The local folder or file behind an artifact URI of MLflow's; nothing is copied when it is on this disk."""
    import mlflow
    from mlflow.exceptions import MlflowException

    store = workspace.tracking_uri
    try:
        place = _artifacts_of(workspace, uri)
        return Path(mlflow.artifacts.download_artifacts(place, tracking_uri=store, registry_uri=store))
    except (MlflowException, OSError) as error:
        raise NotFound(f"{uri}: not to be had from MLflow at {workspace.shown_uri}: {error}") from error


def _job_name(workspace: Workspace, run_id: str | None) -> str | None:
    if not run_id:
        return None
    from mlflow.exceptions import MlflowException

    try:
        return Registry(workspace).get_run(run_id).data.tags.get("azureml.jobName", run_id)
    except MlflowException:
        return run_id


def _time(milliseconds: int | None) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat() if milliseconds else now()


def _quoted(name: str) -> str:
    if "'" in name:
        raise UserError(f'model "{name}": a name cannot hold an apostrophe')
    return name
