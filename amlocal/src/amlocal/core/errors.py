"""What goes wrong on the user's side, said in one line."""

from collections.abc import Mapping
from pathlib import Path


class UserError(Exception):
    """A mistake the user can mend; its text names the file, the field and the remedy, in one line."""

    def reworded(self, text: str) -> "UserError":
        """The same mistake in other words, such as with its place before it."""
        return UserError(text)


class NotFound(UserError):
    """Something was asked for by a name that nobody has given."""


class Absent(NotFound):
    """Something a spec asks for that is not on this machine, or not yet: the spec itself may be sound.

    path: where it would lie, if that is a path of the user's own; None for what a workspace has.
    """

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__(message)
        self.path = path

    def reworded(self, text: str) -> "Absent":
        return Absent(text, self.path)


class Problems(UserError):
    """The mistakes in one file; `each` has them one by one, the text a line for each.

    absent: those of them that only say that something is not here, by their text.
    """

    def __init__(self, each: list[str], absent: Mapping[str, Absent] | None = None) -> None:
        super().__init__("\n".join(each))
        self.each, self.absent = each, dict(absent or {})


class NotEmulated(UserError, AttributeError):
    """Something of MLClient's that has no counterpart here; an AttributeError, so that `hasattr` is False."""
