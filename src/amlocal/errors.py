"""What goes wrong on the user's side, said in one line."""


class UserError(Exception):
    """A mistake the user can mend; its text names the file, the field and the remedy, in one line."""


class NotFound(UserError):
    """Something was asked for by a name that nobody has given."""
