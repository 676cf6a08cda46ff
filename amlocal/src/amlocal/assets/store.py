"""What somebody has given a name: data, environments, components (with versions), compute and datastores (without)."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from amlocal.core.durable import make_folder
from amlocal.core.errors import Absent, NotFound, UserError
from amlocal.core.files import read_json, write_json
from amlocal.core.names import (
    ACTIVE,
    ALL,
    View,
    checked_name,
    checked_version,
    creation_context,
    file_of,
    in_view,
    is_name,
    nearest,
    next_version,
    refuse_changes,
    texts,
    version_key,
)
from amlocal.core.records import damaged, read_record
from amlocal.core.workspace import Workspace

Kind = Literal["data", "environment", "component", "compute", "datastore"]
UNVERSIONED = ("compute", "datastore")

# Every workspace of Azure's has these.
BUILT_IN_DATASTORES = (
    "workspaceblobstore",
    "workspacefilestore",
    "workspaceworkingdirectory",
    "workspaceartifactstore",
)


# What of a version may change once it is there; everything else is what the version is.
MUTABLE: dict[str, tuple[str, ...]] = {
    "data": ("description", "properties", "tags"),
    "environment": ("description", "properties", "tags"),
    "component": ("description", "display_name", "properties", "tags"),
}

# A component's default version is its latest (azure-ai-ml's DEFAULT_LABEL_NAME); other assets have no such label.
LABELS = {"component": ("latest", "default")}


@dataclass(frozen=True)
class Assets:
    """The named things of one kind in a workspace.

    Each version is one file, `<name>/<version>.json`; `<name>/.archived.json` says which of them `list` hides.
    """

    workspace: Workspace
    kind: Kind

    @property
    def folder(self) -> Path:
        return self.workspace.assets / self.kind

    @property
    def versioned(self) -> bool:
        return self.kind not in UNVERSIONED

    def create(self, spec: dict[str, Any], whole: bool = False) -> dict[str, Any]:
        """Keep `spec` under its `name` and `version` (none: one more than the highest number); returns it as kept.

        The same content again is no error, as in `az ml`, and brings description, tags and the like up to date;
        another content under a version that is taken is. What has no versions is replaced. Raises UserError.
        whole: `spec` was got from here and changed, so that tags, or a description, that it lacks are to go.
        """
        name = checked_name(self.kind, spec.get("name"))
        with self.workspace.lock(self.kind):
            if self.versioned:
                version = str(spec.get("version") or self._next_version(name))
                spec = {**spec, "version": checked_version(self.kind, name, version)}
            else:
                version = self.kind
            path = self.folder / name / f"{file_of(version)}.json"
            context = creation_context()
            if path.exists():
                kept = _read(path)
                context = kept["creation_context"]
                if self.versioned:
                    spec = self._brought_up_to_date(kept, spec, whole)
                    if spec == kept:
                        return kept
            make_folder(path.parent)
            spec = {**spec, "creation_context": context}
            write_json(path, spec)
            return spec

    def _next_version(self, name: str) -> str:
        """The version of one that asks for none: one more, but for a component, whose second is the moment."""
        taken = [path.stem for path in self._files(name)]
        if self.kind == "component" and taken:
            moment = datetime.now(UTC)
            return f"{moment:%Y-%m-%d-%H-%M-%S}-{moment.microsecond:06}0"
        return next_version(iter(taken))

    def _brought_up_to_date(self, kept: dict[str, Any], spec: dict[str, Any], whole: bool) -> dict[str, Any]:
        changing = (*MUTABLE[self.kind], "creation_context", "$schema")

        def content(of: dict[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in of.items() if key not in changing and value is not None}

        before, after = content(kept), content(spec)
        if before != after:
            field = min(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
            raise UserError(
                f'{self.kind} "{kept["name"]}", version {kept["version"]}, exists with another content: '
                f'field "{field}" is immutable, try specifying a new version'
            )
        changed = {key: spec.get(key) for key in MUTABLE[self.kind] if spec.get(key) or (whole and key != "properties")}
        return {**kept, **changed}

    def revise(
        self, name: str, wanted: Mapping[str, Any], version: str | None = None, label: str | None = None
    ) -> dict[str, Any]:
        """Make the version read as `wanted`, which differs in what may change only. Raises NotFound, UserError."""
        with self.workspace.lock(self.kind):
            kept = self.get(name, version, label)
            refuse_changes(f'{self.kind} "{name}"', kept, wanted, MUTABLE[self.kind])
            revised = {**wanted, "tags": texts(wanted.get("tags"))}
            write_json(self.folder / name / f"{file_of(kept['version'])}.json", revised)
            return revised

    def get(self, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        """One version, archived or not; with neither version nor label the latest that is not. Raises NotFound."""
        labels = LABELS.get(self.kind, ("latest",))
        if label is not None and label not in labels:
            known = " and ".join(f'"{each}"' for each in labels)
            verb = "are" if len(labels) > 1 else "is"
            raise NotFound(f'{self.kind} "{name}": label "{label}" is not known; only {known} {verb}')
        versions = list(self.versions(name, ALL))
        if not versions:
            flag = self.workspace.flag
            listed = f"; aml {self.kind} list{flag}`" if self.versioned else "`"
            remedy = f"see `aml {self.kind} create -f FILE{flag}{listed}"
            if near := nearest(name, (folder.name for folder in self.folder.glob("*") if folder.name != name)):
                remedy = f'did you mean "{near}"?'
            raise Absent(f'{self.kind} "{name}" was not found in {self.workspace.shown}; {remedy}')
        if version is None:
            active = next(self.versions(name), None) if self.versioned else versions[0]
            if active is None:
                restoring = f"aml {self.kind} restore -n {name}{self.workspace.flag}"
                raise NotFound(f'{self.kind} "{name}": every version is archived; give one, or `{restoring}`')
            return active
        for spec in versions:
            if spec.get("version") == str(version):
                return spec
        there = ", ".join(str(spec.get("version")) for spec in versions)
        raise Absent(f'{self.kind} "{name}": version {version} was not found; there is {there}')

    def delete(self, name: str) -> None:
        """Forget every version of `name`. Raises NotFound."""
        with self.workspace.lock(self.kind):
            self.get(name)
            shutil.rmtree(self.folder / name)

    def versions(self, name: str, view: View = ACTIVE) -> Iterator[dict[str, Any]]:
        """The versions of one name, the latest created first."""
        if not is_name(name):  # nothing is called that; it may lead elsewhere
            return
        hidden = self._archived(name)
        found = [spec for spec in map(_read, self._files(name)) if in_view(hidden.holds(spec), view)]
        yield from sorted(
            found,
            key=lambda spec: (spec["creation_context"]["created_at"], version_key(spec.get("version", "0"))),
            reverse=True,
        )

    def latest(self, view: View = ACTIVE) -> Iterator[dict[str, Any]]:
        """The latest version of every name, by name."""
        for folder in sorted(self.folder.glob("*")):
            yield from list(self.versions(folder.name, view))[:1]

    def archive(
        self, name: str, version: str | None = None, label: str | None = None, archived: bool = True
    ) -> dict[str, Any]:
        """Hide a version, or without one everything called `name`, from `list`; with `archived` False show it again."""
        with self.workspace.lock(self.kind):
            spec = self.get(name, version, label) if version or label else next(self.versions(name, ALL), None)
            if spec is None:
                spec = self.get(name)  # raises
            hidden = self._archived(name)
            if version or label:
                if hidden.all and not archived:
                    raise UserError(
                        f'{self.kind} "{name}" is archived as a whole, no version of it can be restored by itself;'
                        f" see `aml {self.kind} restore -n {name}{self.workspace.flag}`"
                    )
                hidden = hidden.with_version(str(spec["version"]), archived)
            else:
                hidden = Hidden(archived, hidden.versions)
            write_json(self.folder / name / ".archived.json", {"all": hidden.all, "versions": sorted(hidden.versions)})
            return spec

    def _files(self, name: str) -> Iterator[Path]:
        return (self.folder / name).glob("[!.]*.json")

    def _archived(self, name: str) -> "Hidden":
        path = self.folder / name / ".archived.json"
        if not path.exists():
            return Hidden()
        return read_record(path, Hidden)


def _read(path: Path) -> dict[str, Any]:
    """A version's record. Raises UserError for a damaged one."""
    spec = read_json(path)
    context = spec.get("creation_context")
    if not isinstance(spec.get("name"), str) or not isinstance(context, dict) or not context.get("created_at"):
        raise damaged(path, "it lacks its name, or when it was created")
    if path.stem not in UNVERSIONED and file_of(str(spec.get("version"))) != path.stem:
        raise damaged(path, f"it says that it is version {spec.get('version')}")
    return spec


@dataclass(frozen=True)
class Hidden:
    """Which versions of a name are archived. all: the whole of it, whatever is said of each version."""

    all: bool = False
    versions: tuple[str, ...] = ()

    def holds(self, spec: Mapping[str, Any]) -> bool:
        return self.all or str(spec.get("version")) in self.versions

    def with_version(self, version: str, archived: bool) -> "Hidden":
        others = tuple(each for each in self.versions if each != version)
        return Hidden(self.all, (*others, version) if archived else others)
