"""`aml exec -- CMD`: run a command that believes it has the Azure CLI and SDK. An addition to the verbs of `az ml`.

A folder with an `az` of ours goes first on PATH, so that a script or a workflow's step written for Azure runs here
unchanged; `amlocal.cli.az` says what that `az` answers. A folder with a `sitecustomize.py` goes first on PYTHONPATH, so
that a Python program finds its `MLClient` here; `amlocal.exec.sdk` says what changes. MLflow logs to the workspace.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.core.errors import UserError
from amlocal.core.mlflow_store import artifact_root
from amlocal.core.workspace import NAMED_BY, Workspace
from amlocal.exec.become import become
from amlocal.exec.paths import PYTHON, STAND_IN, without


def run(cmd: CLICommand, words: list[str]) -> None:
    """Become the command: its exit code, its stdin and stdout, its Ctrl-C."""
    command = words[1:] if words[:1] == ["--"] else words
    if not command:
        raise UserError("exec: name the command after --, for example `aml exec -- az account show`")
    if target.is_auto():
        raise UserError("exec: --target auto is for single commands; say local or azure")
    if not target.is_azure():
        with suppress(UserError):  # it cannot be written to: whoever writes will say so
            target.workspace().create()  # now, so that a notebook in a folder below finds it
    environment = surroundings(dict(os.environ))
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise UserError(f"exec: there is no command {command[0]} on PATH")
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        become(program, command, environment)
    # Windows has no exec: wait for the command and answer as it does. Ctrl-C reaches both; it is the command's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cmd.cli_ctx.invocation.data["exit_code"] = subprocess.call([program, *command[1:]], env=environment)


def surroundings(environment: dict[str, str]) -> dict[str, str]:
    """`environment` with the stand-ins first on PATH and PYTHONPATH, the Python that runs them, and their target.

    Where the target is Azure, Python's own modules do: there PYTHONPATH has no stand-in.
    """
    modules = without(PYTHON, environment.get("PYTHONPATH", ""))
    if not target.is_azure():
        modules = [str(PYTHON), *modules]
    place = target.place_flags()
    named = {
        "AZURE_DEFAULTS_GROUP": place.resource_group,
        "AZURE_DEFAULTS_WORKSPACE": place.workspace,
        "AZURE_SUBSCRIPTION_ID": place.subscription,
    }
    return (
        environment
        | ({} if target.is_azure() else _local(target.workspace(), asked=place.workspace is not None))
        | {name: value for name, value in named.items() if value}
        | {
            "PATH": os.pathsep.join([str(STAND_IN), *without(STAND_IN, environment.get("PATH", os.defpath))]),
            "PYTHONPATH": os.pathsep.join(modules),
            "AML_PYTHON": sys.executable,
            target.VARIABLE: "azure" if target.is_azure() else "local",
        }
    )


def _local(workspace: Workspace, asked: bool) -> dict[str, str]:
    """The variables by which whatever is started finds the workspace, if it was asked for, and MLflow logs to it."""
    return {
        **({"AMLOCAL_HOME": str(workspace.root), NAMED_BY[0]: workspace.name} if asked else {}),
        "MLFLOW_TRACKING_URI": workspace.tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **artifact_root(workspace),
    }


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "", "amlocal.cli.nouns.exec#{}") as group:
        group.command("exec", "run")


def arguments(loader: CLICommandsLoader) -> None:
    with ArgumentsContext(loader, "exec") as c:
        c.positional("words", nargs=argparse.REMAINDER, metavar="-- CMD", help="The command and its arguments.")


helps["exec"] = """
type: command
short-summary: Run a command that finds an `az` and an `MLClient` which answer from here (an addition to `az ml`).
long-summary: >
  `az ml ...` is `aml ...`. What scripts call around it (account, group, identity, storage, ...) keeps records in the
  workspace and reads them back; what is left goes to the Azure CLI if there is one. In Python, azure.ai.ml's MLClient
  is the workspace of this folder, and azure.identity's credentials ask nobody. With --target azure, `az ml` drives
  Azure and everything else is the Azure CLI's and the SDK's own.
examples:
  - name: Run a script that was written for Azure
    text: aml exec -- bash submit.sh
  - name: Run a Python program, or a notebook, that was written for azure-ai-ml
    text: aml exec -- python train.py
  - name: Ask the stand-in itself
    text: aml exec -- az account show --query name -o tsv
"""
