"""`aml completion`, an addition to `az ml`: what has a shell complete commands, flags and names."""

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader, CommandGroup
from knack.help_files import helps

SHELLS = {"bash": "bash", "zsh": "zsh", "fish": "fish", "pwsh": "powershell"}  # by argcomplete's names


def script(shell: str) -> None:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["aml"], shell=SHELLS[shell]))


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "", "amlocal.cli.nouns.completion#{}") as group:
        group.command("completion", "script")


def arguments(loader: CLICommandsLoader) -> None:
    with ArgumentsContext(loader, "completion") as c:
        c.positional("shell", choices=list(SHELLS), help="The shell that is to know it.")


helps["completion"] = """
type: command
short-summary: Print what makes a shell complete commands, flags and names (an addition to `az ml`).
examples:
  - name: In bash; open a new terminal afterwards
    text: aml completion bash >> ~/.bashrc
  - name: In zsh
    text: aml completion zsh >> ~/.zshrc
  - name: In fish
    text: aml completion fish > ~/.config/fish/completions/aml.fish
  - name: In PowerShell
    text: aml completion pwsh >> $PROFILE
"""
