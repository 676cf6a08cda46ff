"""What the versioned assets do alike: models, data, environments, components.

A noun's module names its `Kind`, and declares what only that noun has.
"""

from dataclasses import dataclass
from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader, CommandGroup

from amlocal.cli import target
from amlocal.cli.arguments import given, shared
from amlocal.cli.printing import created, described, described_all, plain, view
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
    shared: bool = True  # whether there is a verb `share`

    def operations(self, registry_name: str | None = None) -> Any:
        """The part of the client, here or in Azure, that these assets are managed with; or of a registry's."""
        return getattr(target.registry(registry_name) if registry_name else target.client(), self.home)

    def create(
        self, file: str | None, overrides: list[dict[str, Any]] | None, registry_name: str | None = None, **flags: Any
    ) -> dict[str, Any]:
        """Register what `file`, `--set` and the other flags describe; the last named win over the first."""
        operations = self.operations(registry_name)
        entity = operations.create_or_update(load(self.noun, file, [*(overrides or []), *given(**flags)]))
        return created(operations, entity, str(entity.version))

    def verbs(self) -> tuple[Any, Any, Any, Any, Any, Any]:
        """The functions of show, list, archive, restore, update and share: knack takes no methods."""

        def show(
            name: str, version: str | None = None, label: str | None = None, registry_name: str | None = None
        ) -> dict[str, Any]:
            return described(self.operations(registry_name), name, version, label)

        def list_all(
            name: str | None = None,
            max_results: int | None = None,
            include_archived: bool = False,
            archived_only: bool = False,
            registry_name: str | None = None,
        ) -> list[dict[str, Any]]:
            """Every asset's latest version, or all versions of `name`."""
            seen = view(include_archived, archived_only)
            return described_all(self.operations(registry_name), max_results, name=name, list_view_type=seen)

        def archive(
            name: str, version: str | None = None, label: str | None = None, registry_name: str | None = None
        ) -> None:
            self.operations(registry_name).archive(name, version=version, label=label)

        def restore(
            name: str, version: str | None = None, label: str | None = None, registry_name: str | None = None
        ) -> None:
            self.operations(registry_name).restore(name, version=version, label=label)

        def update(
            name: str,
            version: str | None = None,
            label: str | None = None,
            changes: Changes | None = None,
            registry_name: str | None = None,
        ) -> dict[str, Any]:
            return changed(self.operations(registry_name), name, changes, version=version, label=label)

        def share(
            name: str, version: str, registry_name: str, share_with_name: str, share_with_version: str
        ) -> dict[str, Any]:
            entity = self.operations().share(
                name,
                version,
                registry_name=registry_name,
                share_with_name=share_with_name,
                share_with_version=share_with_version,
            )
            if target.is_azure():
                return plain(entity)
            return created(self.operations(registry_name), entity, str(entity.version))

        return show, list_all, archive, restore, update, share

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
            if self.shared:
                group.command("share", "share")

    def arguments(self, loader: CLICommandsLoader) -> None:
        """The flags of those commands."""
        shared(loader, self.noun, self.title, f"{self.title}s")
        update_arguments(loader, f"{self.noun} update")
        with ArgumentsContext(loader, f"{self.noun} list") as c:
            c.argument("name", help=f"Name of the {self.title}. If provided, all its versions will be returned.")
        with ArgumentsContext(loader, self.noun) as c:
            c.argument(
                "registry_name", help="If provided, the command will target the registry instead of a workspace."
            )
        with ArgumentsContext(loader, f"{self.noun} share") as c:
            c.argument("registry_name", help="Destination registry.")
            c.argument("share_with_name", help=f"Name of the {self.title} to create with.")
            c.argument("share_with_version", help=f"Version of the {self.title} to create with.")

    def texts(self) -> dict[str, str]:
        """The help of those commands that reads alike for every kind."""
        noun, title = self.noun, self.title
        share = {
            f"{noun} share": f"""
type: command
short-summary: Share a specific {title} from workspace to registry.
long-summary: Copies it; a version that the registry has already is refused.
examples:
  - name: Share an existing {title} from workspace to registry
    text: >
      aml {noun} share --name {self.listed} --version 1 --registry-name my-registry
      --share-with-name {self.listed} --share-with-version 1
"""
        }
        return (share if self.shared else {}) | {
            f"{noun} list": f"""
type: command
short-summary: List {title}s in a workspace or a registry.
examples:
  - name: List all the {title}s in a workspace
    text: aml {noun} list -o table
  - name: List all the {title} versions for the specified name
    text: aml {noun} list --name {self.listed}
  - name: List all the {title}s in a registry
    text: aml {noun} list --registry-name my-registry
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
