"""What the operations share: pollers, MLClient's exceptions, entities made of kept specs."""

import io
from typing import Any

import yaml

from amlocal.errors import NotFound

# azure-ai-ml's ListViewType.
ACTIVE, ARCHIVED = "ActiveOnly", "ArchivedOnly"


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


def missing(error: NotFound) -> Exception:
    """The exception that MLClient raises for a name that is not there."""
    from azure.core.exceptions import ResourceNotFoundError

    return ResourceNotFoundError(str(error))


def entity(kind: str, spec: dict[str, Any]) -> Any:
    """azure-ai-ml's entity of a spec that came from one."""
    from amlocal.specs.load import loader

    plain = {key: value for key, value in spec.items() if key not in ("creation_context", "id") and value is not None}
    return loader(kind)(io.StringIO(yaml.safe_dump(plain)))
