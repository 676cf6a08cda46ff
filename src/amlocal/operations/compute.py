"""`client.compute`: kept so that specs and scripts mean the same; every job runs on this machine."""

import os
from collections.abc import Iterator
from typing import Any

from amlocal.errors import NotFound
from amlocal.operations.assets import AssetOperations
from amlocal.operations.common import Poller, entity, missing


class ComputeOperations(AssetOperations):
    """`client.compute`: kept so that specs and scripts mean the same; every job runs on this machine."""

    def begin_create_or_update(self, item: Any, **_: Any) -> Poller:
        spec = item._to_dict()
        spec.pop("$schema", None)
        self.assets.create({**spec, "provisioning_state": "Succeeded", "location": "local"})
        return Poller(self.get(item.name))

    def begin_delete(self, name: str, **_: Any) -> Poller:
        try:
            self.assets.delete(name)
        except NotFound as error:
            raise missing(error) from error
        return Poller(None)

    def list_usage(self, **_: Any) -> Iterator[Any]:
        """How many of this machine's cores there are; nothing here counts who uses them."""
        from types import SimpleNamespace  # azure-ai-ml's Usage is abstract: only its own answers become one

        name = SimpleNamespace(value="cores", localized_value="Cores of this machine")
        yield SimpleNamespace(id="local", limit=os.cpu_count(), current_value=0, unit="Count", name=name, type=None)

    def get(self, name: str, version: str | None = None, label: str | None = None) -> Any:
        try:
            spec = self.assets.get(name)
        except NotFound as error:
            raise missing(error) from error
        return entity(self.kind, {key: value for key, value in spec.items() if key != "provisioning_state"})
