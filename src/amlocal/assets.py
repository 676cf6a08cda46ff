"""Data, environments, components and compute that somebody has given a name: `aml <kind> create|show|list`."""

import getpass
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from amlocal.errors import NotFound, UserError
from amlocal.workspace import Workspace, read_json, write_json

Kind = Literal["data", "environment", "component", "compute"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")


def now() -> str:
    """The time as Azure writes it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat()


def creation_context() -> dict[str, str]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run under an id that has no name
        user = "unknown"
    return {"created_at": now(), "created_by": user, "created_by_type": "User"}


def version_key(version: str) -> tuple[int, int, str]:
    """Sorts versions: numbers as numbers, below words."""
    return (0, int(version), "") if version.isdecimal() else (1, 0, version)


@dataclass(frozen=True)
class Assets:
    """The named things of one kind in a workspace; each version is one file, written once."""

    workspace: Workspace
    kind: Kind

    @property
    def folder(self) -> Path:
        return self.workspace.assets / self.kind

    def create(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Keep `spec` under its `name` and `version` (none: one more than the highest number); returns it as kept.

        The same content again is no error, as in `az ml`; another content under a version that is taken is. Compute has
        no versions and is replaced. Raises UserError.
        """
        name = str(spec.get("name") or "")
        if not NAME.fullmatch(name):
            raise UserError(
                f'{self.kind} name "{name}": use letters, digits, "-", "_" and ".", beginning with a letter or digit'
            )
        with self.workspace.lock(self.kind):
            if self.kind == "compute":
                version = "compute"
            else:
                version = str(spec.get("version") or self._next_version(name))
                if not NAME.fullmatch(version):
                    raise UserError(f'{self.kind} "{name}": version "{version}" is not a word or a number')
                spec = {**spec, "version": version}
            path = self.folder / name / f"{version}.json"
            if path.exists() and self.kind != "compute":
                kept = read_json(path)
                if {**kept, "creation_context": None} == {**spec, "creation_context": None}:
                    return kept
                raise UserError(
                    f'{self.kind} "{name}", version {version}, exists with another content; give a higher version'
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            spec = {**spec, "creation_context": creation_context()}
            write_json(path, spec)
            return spec

    def get(self, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        """One version; with neither version nor label the latest. Raises NotFound."""
        if label not in (None, "latest"):
            raise NotFound(f'{self.kind} "{name}": label "{label}" is not known; only "latest" is')
        versions = list(self.versions(name))
        if not versions:
            remedy = f"aml {self.kind} create -f FILE" + ("" if self.kind == "compute" else f"; aml {self.kind} list")
            raise NotFound(f'{self.kind} "{name}" is not in this workspace ({self.workspace.root}); see `{remedy}`')
        if version is None:
            return versions[0]
        for spec in versions:
            if spec.get("version") == str(version):
                return spec
        there = ", ".join(str(spec.get("version")) for spec in versions)
        raise NotFound(f'{self.kind} "{name}" has no version {version}; there is {there}')

    def delete(self, name: str) -> None:
        """Forget every version of `name`. Raises NotFound."""
        self.get(name)
        shutil.rmtree(self.folder / name)

    def versions(self, name: str) -> Iterator[dict[str, Any]]:
        """Every version of one name, the latest created first."""
        found = [read_json(path) for path in (self.folder / name).glob("[!.]*.json")]
        yield from sorted(
            found,
            key=lambda spec: (spec["creation_context"]["created_at"], version_key(spec.get("version", "0"))),
            reverse=True,
        )

    def latest(self) -> Iterator[dict[str, Any]]:
        """The latest version of every name, by name."""
        for folder in sorted(self.folder.glob("*")):
            yield from list(self.versions(folder.name))[:1]

    def _next_version(self, name: str) -> str:
        numbers = [int(path.stem) for path in (self.folder / name).glob("*.json") if path.stem.isdecimal()]
        return str(max(numbers, default=0) + 1)
