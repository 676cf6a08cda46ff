"""What the versioned assets do alike: models, data, environments, components."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader

from amlocal.cli import target
from amlocal.cli.arguments import no_registry
from amlocal.cli.printing import created, described_all, view
from amlocal.cli.specs import load
from amlocal.cli.updates import Changes, changed, update_arguments

# The attribute of the client for each noun.
HOMES = {"model": "models", "data": "data", "environment": "environments", "component": "components"}


def create(
    operations: Any, kind: str, file: str | None, overrides: list[dict[str, Any]] | None, flags: list[dict[str, Any]]
) -> dict[str, Any]:
    """Register the asset that `file`, `--set` and the other flags describe; the last named win over the first."""
    entity = operations.create_or_update(load(kind, file, [*(overrides or []), *flags]))
    return created(operations, entity, str(entity.version))


def list_all(
    operations: Any, name: str | None, max_results: int | None, include_archived: bool, archived_only: bool
) -> list[dict[str, Any]]:
    """Every asset's latest version, or all versions of `name`."""
    return described_all(operations, max_results, name=name, list_view_type=view(include_archived, archived_only))


def verbs(noun: str) -> tuple[Any, Any, Any]:
    """The functions of `archive`, `restore` and `update` for one noun."""

    def operations() -> Any:
        return getattr(target.client(), HOMES[noun])

    def archive(name: str, version: str | None = None, label: str | None = None) -> None:
        operations().archive(name, version=version, label=label)

    def restore(name: str, version: str | None = None, label: str | None = None) -> None:
        operations().restore(name, version=version, label=label)

    def update(
        name: str, version: str | None = None, label: str | None = None, changes: Changes | None = None
    ) -> dict[str, Any]:
        return changed(operations(), name, changes, version=version, label=label)

    return archive, restore, update


def arguments(loader: CLICommandsLoader, noun: str, title: str) -> None:
    """The flags of those verbs, and of `list`'s name."""
    update_arguments(loader, f"{noun} update")
    with ArgumentsContext(loader, f"{noun} list") as c:
        c.argument("name", help=f"Name of the {title}. If provided, all its versions will be returned.")
    for verb in ("create", "show", "list", "archive", "restore", "update"):
        with ArgumentsContext(loader, f"{noun} {verb}") as c:
            no_registry(c)


def texts(noun: str, title: str, what: str) -> dict[str, str]:
    """The help of those verbs. what: which properties `update` changes."""
    return {
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
long-summary: What can be updated is {what}.
examples:
  - name: Give it a tag and another description
    text: aml {noun} update --name my-{noun} --version 1 --set tags.owner=me description="Another one"
""",
    }
