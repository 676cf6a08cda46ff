"""What a command was given: the values of its flags, as its handler reads them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError


class UsageError(UserError):
    """The command line is wrong; az ends with 2."""


class Given(dict[str, Any]):
    """The flags of one call by their keys (see `facts.Flag.key`). A flag without values holds an empty list.

    told: the keys that the command line itself has; the others are defaults.
    """

    def __init__(self, told: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> None:
        super().__init__({**(defaults or {}), **told})
        self.told = frozenset(told)

    def text(self, key: str) -> str | None:
        """The value of a flag that takes one, None if it was not given. Raises UsageError for no value, or several."""
        value = self.get(key)
        if isinstance(value, list):
            if len(value) != 1:
                raise UsageError(f"argument --{key.replace('_', '-')}: expected one argument")
            return str(value[0])
        return None if value is None else str(value)

    def required(self, key: str) -> str:
        """The same of a flag that must be there."""
        value = self.text(key)
        if not value:
            raise UsageError(f"the following arguments are required: --{key.replace('_', '-')}")
        return value

    def texts(self, key: str) -> list[str]:
        """The values of a flag that takes several."""
        return [str(each) for each in self.get(key) or []]

    def switch(self, key: str) -> bool:
        """Whether a flag is given that may stand alone, or be followed by `true` or `false`."""
        value = self.get(key)
        return (
            bool(value) if isinstance(value, bool) else value is not None and (value or ["true"])[0].lower() == "true"
        )

    def asked_group(self) -> str | None:
        """The group that the command line names, None if it leaves the group to the defaults."""
        return self.text("resource_group") if "resource_group" in self.told else None

    def tags(self) -> dict[str, str] | None:
        """`--tags a=b c`: None if they were not given."""
        if "tags" not in self:
            return None
        pairs = (each.partition("=") for text in self.texts("tags") for each in [text.strip()] if each)
        return {name: value for name, _, value in pairs}


Handler = Callable[[Given], Any]


def nothing(_: Given) -> None:
    """Answers a command that has nothing to do here and prints nothing in Azure."""


def existing(file: str) -> None:
    if not Path(file).is_file():
        raise UserError(f"{file}: there is no such file")
