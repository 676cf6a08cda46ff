"""The registries of a folder: assets that its workspaces share, in `.amlocal/registries/<name>/`."""

from dataclasses import dataclass
from pathlib import Path

from amlocal.core.errors import Absent, NotFound
from amlocal.core.names import CURATED_REGISTRY, there_are
from amlocal.core.workspace import REGISTRIES, Workspace

RECORD = "registry.json"


@dataclass(frozen=True)
class AssetRegistry(Workspace):
    """A registry by its folder, which has in it what a workspace has for its assets.

    workspace: where it is looked at from; `azureml:NAME:VERSION`, as the source of a new version, is one of that.
    """

    workspace: Workspace

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def home(self) -> Path:
        return self.workspace.home

    @property
    def beside(self) -> Workspace:
        return self.workspace

    @property
    def shown(self) -> str:
        return f'registry "{self.name}"'

    @property
    def flag(self) -> str:
        return f" --registry-name {self.name}"

    @property
    def tracking_uri(self) -> str:
        """The registry's own store, also where the workspaces use the user's MLflow server."""
        return f"sqlite:///{self.database.as_posix()}"

    def asset_id(self, *parts: str) -> str:
        return "/".join([f"azureml://registries/{self.name}", *parts])

    def prefixed_id(self, *parts: str) -> str:
        return self.asset_id(*parts)


def every(workspace: Workspace) -> list[AssetRegistry]:
    """The registries of the folder that a workspace lies in, by name."""
    found = sorted((workspace.home / REGISTRIES).glob(f"*/{RECORD}"))
    return [AssetRegistry(each.parent, workspace.beside) for each in found]


def find(workspace: Workspace, name: str) -> AssetRegistry:
    """A registry by its name, in whatever case. Raises Absent."""
    for each in every(workspace):
        if each.name.lower() == name.lower():
            Workspace.at(each.root)  # raises for one that is somebody else's
            return each
    if name.lower() == CURATED_REGISTRY:
        raise Absent(
            f'of the registry "{CURATED_REGISTRY}" only the environments are known here; fetch the asset in Azure'
            f" (`az ml ... download` or `show`, with --registry-name {CURATED_REGISTRY}) and create it from the file"
        )
    known = there_are(each.name for each in every(workspace))
    raise Absent(f'registry "{name}" was not found; {known or f"see `aml registry create -n {name}`"}')


def named(workspace: Workspace, name: str | None) -> Workspace:
    """The workspace that the long form of an address names: where there is one only, or no name, that one.

    Raises Absent for a name that none of several has.
    """
    own = workspace.beside
    if name is None or name.lower() == own.name.lower() or len(own.every()) < 2:
        return own
    try:
        return own.called(name)
    except NotFound as error:
        raise Absent(str(error)) from error
