"""What the operations share: pollers, MLClient's exceptions, entities made of kept specs."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amlocal.core.errors import NotEmulated, NotFound, UserError
from amlocal.core.workspace import NOBODY


class Operations:
    """Base of the operations: what MLClient's have and ours have not is refused in one line."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        kind = type(self).__name__.removesuffix("Operations")
        raise NotEmulated(f"{kind} operations: {name} is not emulated on this machine")


class Poller:
    """What Azure's long operations return; here the work is done when it is made."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def result(self, timeout: float | None = None) -> Any:
        return self._value

    def wait(self, timeout: float | None = None) -> None:
        pass

    def done(self) -> bool:
        return True

    def status(self) -> str:
        return "Succeeded"


@contextmanager
def not_missing() -> Iterator[None]:
    """Raise what MLClient raises for a name that is not there."""
    try:
        yield
    except NotFound as error:
        raise missing(error) from error


def missing(error: NotFound) -> Exception:
    """The exception that MLClient raises for a name that is not there."""
    from azure.core.exceptions import ResourceNotFoundError

    return ResourceNotFoundError(str(error))


@contextmanager
def told_at_path(kind: str, item: Any) -> Iterator[None]:
    """Say of a refused path where it stands: in which line of which file, else in which asset."""
    try:
        yield
    except UserError as error:
        from amlocal.specs.load import at

        source = Path(getattr(item, "_source_path", None) or "")
        where = at(source, "path") if source.is_file() else f'{kind} "{item.name}": path'
        raise type(error)(f"{where}: {error}") from error


PRINCIPAL = ("principal_id", "tenant_id")


def principal(kind: str, name: str) -> dict[str, str]:
    """What Azure adds to an identity that it assigns: scripts give roles to the principal, the same one every time."""
    id = uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{name}")
    return {"principal_id": str(id), "tenant_id": NOBODY}


def entity(kind: str, spec: dict[str, Any]) -> Any:
    """azure-ai-ml's entity of a spec that came from one."""
    from amlocal.specs.load import revive

    plain = {key: value for key, value in spec.items() if key not in ("creation_context", "id") and value is not None}
    return revive(kind, plain)


def checked(kind: str, name: str, spec: dict[str, Any]) -> Any:
    """As `entity`, of a spec that somebody has changed. Raises UserError for what Azure's schema does not allow."""
    try:
        return entity(kind, spec)
    except UserError:
        raise
    except Exception as error:  # marshmallow's and azure-ai-ml's, each of its own kind
        raise UserError(f'{kind} "{name}": {one_line(error)}') from error


def one_line(error: Exception) -> str:
    """What is wrong, without the report in JSON and the advice for authors of files that azure-ai-ml puts around it."""
    from amlocal.specs.load import problems

    each = dict.fromkeys(f"{field}: {said}" for field, said in problems(error))
    text = "; ".join(each) or str(getattr(error, "message", None) or error)
    return " ".join(text.split()).partition(" Visit this link")[0]
