"""Names, versions, views and tags: the rules that everything with a name follows."""

import difflib
import getpass
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from amlocal.core.errors import UserError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")

# azure-ai-ml takes all that stands after the first colon of `azureml:NAME:VERSION` for the version.
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,254}")


# azure-ai-ml's ListViewType.
# Azure's registry of curated environments, and what begins the names of those that a workspace resolves too.
CURATED_REGISTRY = "azureml"
CURATED_PREFIX = "azureml-"  # in any case

ACTIVE, ARCHIVED, ALL = "ActiveOnly", "ArchivedOnly", "All"


View = str


def now() -> str:
    """The time as Azure writes it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat()


def user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run under an id that has no name
        return "unknown"


def creation_context() -> dict[str, str]:
    return {"created_at": now(), "created_by": user_name(), "created_by_type": "User"}


def version_key(version: str) -> tuple[int, int, str]:
    """Sorts versions: numbers as numbers, below words."""
    return (0, int(version), version) if version.isdecimal() else (1, 0, version)


def next_version(taken: Iterator[str]) -> str:
    """One more than the highest number among `taken`."""
    return str(max((int(version) for version in taken if version.isdecimal()), default=0) + 1)


def there_are(names: Iterable[str]) -> str:
    """`there is "a"`, `there are "a", "b" and "c"`; empty for no names."""
    quoted = [f'"{name}"' for name in names]
    if len(quoted) < 2:
        return f"there is {quoted[0]}" if quoted else ""
    return f"there are {', '.join(quoted[:-1])} and {quoted[-1]}"


def is_name(name: Any) -> bool:
    return isinstance(name, str) and NAME.fullmatch(name) is not None


def checked_name(kind: str, name: Any) -> str:
    """The name. Raises UserError for one that nothing can have."""
    if not is_name(name):
        raise UserError(
            f'{kind} name "{name or ""}": use letters, digits, "-", "_" and ".", beginning with a letter or digit'
        )
    return str(name)


def checked_version(kind: str, name: str, version: Any) -> str:
    """The version. Raises UserError for one that nothing can have."""
    if not VERSION.fullmatch(str(version)):
        raise UserError(f'{kind} "{name}": version "{version}" is not a word or a number')
    return str(version)


def file_of(version: str) -> str:
    """What the file or folder of a version is called; on Windows no name may have a colon in it."""
    return version.replace(":", "=")


def in_view(archived: bool, view: View) -> bool:
    """Whether something is listed that is archived, or is not."""
    return view == ALL or archived == (view == ARCHIVED)


def view_of(list_view_type: Any) -> View:
    """azure-ai-ml's ListViewType, or its text, as text."""
    return str(getattr(list_view_type, "value", list_view_type) or ACTIVE)


def refuse_changes(
    what: str, before: Mapping[str, Any], after: Mapping[str, Any], mutable: tuple[str, ...]
) -> dict[str, Any]:
    """What differs between the two, by its key. Raises UserError when that is more than may change."""
    changed = {key: after.get(key) for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)}
    for key in changed:
        if key not in mutable:
            raise UserError(f"{what}: {key} cannot be changed; what can is {', '.join(mutable)}")
        _refuse_type(what, key, changed[key])
    return changed


def _refuse_type(what: str, key: str, value: Any) -> None:
    """Raises UserError for a value that no schema of Azure's allows for this property."""
    if key in ("tags", "properties"):
        if not isinstance(value, Mapping | None):
            raise UserError(f"{what}: {key}: {value!r} is not pairs of names and values, like {key}.owner=me")
    elif key == "is_enabled":
        if not isinstance(value, bool):
            raise UserError(f"{what}: {key}: {value!r} is neither true nor false")
    elif key != "trigger" and not isinstance(value, str | None):
        raise UserError(f"{what}: {key}: {value!r} is not a text")


def texts(tags: Mapping[str, Any] | None) -> dict[str, str]:
    """Tags are texts, whatever was written: `--set tags.run=1` is "1". One without a value is left out."""
    return {str(key): as_text(value) for key, value in (tags or {}).items() if value is not None}


def as_text(value: Any) -> str:
    """A value of YAML as azure-ai-ml sends it where Azure has text: `2024-01-05`, `2024-01-05T10:00:00Z`, `True`."""
    if isinstance(value, datetime):
        value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return f"{value.isoformat()}Z"
    return value.isoformat() if isinstance(value, date) else str(value)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that the writer of `name` may have meant: nearly the same letters, however they are joined."""
    plain = {re.sub(r"[^a-z0-9]", "", one.lower()): one for one in reversed(list(known))}
    close = difflib.get_close_matches(re.sub(r"[^a-z0-9]", "", name.lower()), plain, n=1)
    return plain[close[0]] if close else None
