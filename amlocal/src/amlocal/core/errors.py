"""What goes wrong on the user's side, said in one line."""


class UserError(Exception):
    """A mistake the user can mend; its text names the file, the field and the remedy, in one line."""


class NotFound(UserError):
    """Something was asked for by a name that nobody has given."""


class Problems(UserError):
    """Several mistakes in one file; the text is the first one's, `each` has them all."""

    def __init__(self, each: list[str]) -> None:
        more = f" (and {len(each) - 1} more)" if len(each) > 1 else ""
        super().__init__(each[0] + more)
        self.each = each


class NotEmulated(UserError, AttributeError):
    """Something of MLClient's that has no counterpart here; an AttributeError, so that `hasattr` is False."""
