"""Whom `aml` talks to: a workspace of this folder, one in Azure (`--target azure`), or whichever has room (`auto`).

Every command gets its client here and nowhere else. Both clients have azure-ai-ml's attributes and methods.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from amlocal.core.errors import UserError
from amlocal.core.workspace import Workspace

if TYPE_CHECKING:
    from amlocal.azure.place import Place

TARGETS = ("local", "azure", "auto")
VARIABLE = "AML_TARGET"
ANY = "any"


@dataclass
class Choice:
    """What this command's global flags say; set before it runs."""

    target: str = "local"
    subscription: str | None = None
    resource_group: str | None = None
    workspace: str | None = None


_choice = Choice()


def choose(
    target: str | None, subscription: str | None = None, resource_group: str | None = None, workspace: str | None = None
) -> None:
    """Take note of the global flags. Without `--target` the variable AML_TARGET decides, without that: local."""
    global _choice
    chosen = target or os.environ.get(VARIABLE) or "local"
    if chosen not in TARGETS:
        raise UserError(f"{VARIABLE}={chosen}: no such target; it is one of {', '.join(TARGETS)}")
    _choice = Choice(chosen, subscription, resource_group, workspace)


def is_azure() -> bool:
    return _choice.target == "azure"


def is_auto() -> bool:
    """Whether Azure is to be tried, and this machine if it has no quota; for the verbs that create something."""
    return _choice.target == "auto"


def client(workspace: str | None = None) -> Any:
    """The workspace of the current folder, or Azure's: both have the attributes and methods of MLClient.

    workspace: the name that a command about workspaces gives with --name; ANY if it needs none.
    """
    if is_auto():
        raise UserError(
            "--target auto is for what creates something that quota can refuse: `online-endpoint create`,"
            " `online-deployment create`, `job create`; say local or azure here"
        )
    return azure(workspace) if is_azure() else local(None if workspace == ANY else workspace)


def azure(workspace: str | None = None) -> Any:
    """The workspace in Azure, for what is about Azure whatever the target."""
    from amlocal.azure.connection import connect
    from amlocal.azure.place import find

    flags = place_flags()
    if workspace == ANY:
        return connect(replace(find(flags, whole=False), workspace=None))
    return connect(find(replace(flags, workspace=workspace or _choice.workspace)))


def place_flags() -> "Place":
    """What this command's own flags say of the place in Azure."""
    from amlocal.azure.place import Place

    return Place(_choice.subscription, _choice.resource_group, _choice.workspace)


def local(workspace: str | None = None) -> Any:
    """The workspace of the current folder that has this name, or that --workspace-name or whatever else chooses."""
    from amlocal.client import LocalMLClient

    return LocalMLClient(workspace_name=workspace or _choice.workspace)


def workspace() -> Workspace:
    """The same, for what needs no client. Raises UserError for one that is not there."""
    return Workspace.find(name=_choice.workspace)


def workspaces() -> list[Workspace]:
    """The one that --workspace-name names, else all of the current folder."""
    if _choice.workspace:
        return [workspace()]
    here = Workspace.here()
    return here.every() or [here]


def registry(name: str) -> Any:
    """A registry of the current folder, or `azureml`; with --target azure one in Azure. Raises UserError."""
    if is_azure():
        from amlocal.azure.connection import connect_registry

        return connect_registry(name)
    local_only("... --registry-name")
    from amlocal.client import LocalMLClient

    return LocalMLClient(registry_name=name, workspace_name=_choice.workspace)


def local_only(command: str) -> None:
    """Refuse a command that has a meaning on this machine only. Raises UserError."""
    if _choice.target != "local":
        raise UserError(f"`aml {command}` is about the workspace of this folder; leave out --target")


def debugged_here(what: str) -> None:
    """Refuse to debug what does not run on this machine. Raises UserError."""
    if _choice.target != "local":
        raise UserError(f"{what}: a debugger attaches to programs of this machine; use it with --target local")


# The global flags, which az takes anywhere.
SWITCHES = ("--debug", "--verbose", "--only-show-errors")
VALUED = ("--target", "--output", "-o", "--query", "--subscription", "--resource-group", "-g", "--workspace-name", "-w")


def split_leading(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """(the global flags that stand before the first word, the rest)"""
    flags, rest = [], list(arguments)
    while rest and rest[0].partition("=")[0] in (*SWITCHES, *VALUED):
        flags.append(rest.pop(0))
        if flags[-1] in VALUED and rest:
            flags.append(rest.pop(0))
    return flags, rest


def leading(arguments: Sequence[str]) -> list[str]:
    """The arguments with the global flags that stand before the noun moved behind it, where knack looks for them."""
    moved, rest = split_leading(arguments)
    if not rest or rest[0].startswith("-"):
        return list(arguments)
    # Behind the words that name the command, before its flags, so that `exec CMD` keeps its own.
    words = 1 if rest[0] == "exec" else next((n for n, text in enumerate(rest) if text.startswith("-")), len(rest))
    return rest[:words] + moved + rest[words:]
