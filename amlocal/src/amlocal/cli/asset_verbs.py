"""What the versioned assets do alike: models, data, environments, components.

A noun's module names its `Kind`, and declares what only that noun has.
"""

from dataclasses import dataclass
from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader, CommandGroup

from amlocal.cli import target
from amlocal.cli.arguments import given, no_registry, shared
from amlocal.cli.printing import created, described, described_all, view
from amlocal.cli.specs import load
from amlocal.cli.updates import Changes, changed, update_arguments


@dataclass(frozen=True)
class Kind:
    """One kind of versioned assets: the verbs that all kinds have, their flags and their help."""

    noun: str  # of the commands, of the YAML file and of the module with the verbs
    title: str
    home: str  # the attribute of the client
    columns: str  # of `list -o table`, behind name and version
    updated: str  # which properties `update` changes
    listed: str  # the name in the examples of `list`
    in_registry: tuple[str, ...] = ()  # the verbs that take --registry-name, which the noun's module has itself

    def operations(self, registry_name: str | None = None) -> Any:
        """The part of the client, here or in Azure, that these assets are managed with; or of a registry's."""
        return getattr(target.registry(registry_name) if registry_name else target.client(), self.home)

    def create(self, file: str | None, overrides: list[dict[str, Any]] | None, **flags: Any) -> dict[str, Any]:
        """Register what `file`, `--set` and the other flags describe; the last named win over the first."""
        operations = self.operations()
        entity = operations.create_or_update(load(self.noun, file, [*(overrides or []), *given(**flags)]))
        return created(operations, entity, str(entity.version))

    def verbs(self) -> tuple[Any, Any, Any, Any, Any]:
        """The functions of show, list, archive, restore and update: knack takes no methods."""

        def show(name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
            return described(self.operations(), name, version, label)

        def list_all(
            name: str | None = None,
            max_results: int | None = None,
            include_archived: bool = False,
            archived_only: bool = False,
        ) -> list[dict[str, Any]]:
            """Every asset's latest version, or all versions of `name`."""
            seen = view(include_archived, archived_only)
            return described_all(self.operations(), max_results, name=name, list_view_type=seen)

        def archive(name: str, version: str | None = None, label: str | None = None) -> None:
            self.operations().archive(name, version=version, label=label)

        def restore(name: str, version: str | None = None, label: str | None = None) -> None:
            self.operations().restore(name, version=version, label=label)

        def update(
            name: str, version: str | None = None, label: str | None = None, changes: Changes | None = None
        ) -> dict[str, Any]:
            return changed(self.operations(), name, changes, version=version, label=label)

        return show, list_all, archive, restore, update

    def commands(self, loader: CLICommandsLoader) -> None:
        """Name those functions, and the noun's own `create`, as commands."""
        columns = f"[].{{Name:name, Version:version || latest_version, {self.columns}}}"
        with CommandGroup(loader, self.noun, f"amlocal.cli.nouns.{self.noun}#{{}}") as group:
            group.command("create", "create")
            group.command("show", "show")
            group.command("list", "list_all", table_transformer=columns)
            group.command("update", "update")
            group.command("archive", "archive")
            group.command("restore", "restore")

    def arguments(self, loader: CLICommandsLoader) -> None:
        """The flags of those commands."""
        shared(loader, self.noun, self.title, f"{self.title}s")
        update_arguments(loader, f"{self.noun} update")
        with ArgumentsContext(loader, f"{self.noun} list") as c:
            c.argument("name", help=f"Name of the {self.title}. If provided, all its versions will be returned.")
        for verb in ("create", "show", "list", "archive", "restore", "update"):
            with ArgumentsContext(loader, f"{self.noun} {verb}") as c:
                if verb in self.in_registry:
                    c.argument("registry_name", help="A registry instead of the workspace; azureml is known here.")
                else:
                    no_registry(c)

    def texts(self) -> dict[str, str]:
        """The help of those commands that reads alike for every kind."""
        noun, title = self.noun, self.title
        return {
            f"{noun} list": f"""
type: command
short-summary: List {title}s in a workspace.
examples:
  - name: List all the {title}s in a workspace
    text: aml {noun} list -o table
  - name: List all the {title} versions for the specified name
    text: aml {noun} list --name {self.listed}
""",
            f"{noun} archive": f"""
type: command
short-summary: Archive a {title}.
long-summary: Hides it from `aml {noun} list`; it can still be used. Without a version all versions are archived.
examples:
  - name: Archive all versions
    text: aml {noun} archive --name my-{noun}
  - name: Archive one version
    text: aml {noun} archive --name my-{noun} --version 1
""",
            f"{noun} restore": f"""
type: command
short-summary: Restore an archived {title}.
examples:
  - name: Restore all versions
    text: aml {noun} restore --name my-{noun}
  - name: Restore one version
    text: aml {noun} restore --name my-{noun} --version 1
""",
            f"{noun} update": f"""
type: command
short-summary: Update a {title}.
long-summary: What can be updated is {self.updated}.
examples:
  - name: Give it a tag and another description
    text: aml {noun} update --name my-{noun} --version 1 --set tags.owner=me description="Another one"
""",
        }
