"""`client.compute`: kept so that specs and scripts mean the same; every job runs on this machine."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from amlocal.assets.store import Assets
from amlocal.core.errors import UserError
from amlocal.core.names import texts
from amlocal.core.workspace import Workspace
from amlocal.operations import service
from amlocal.operations.common import PRINCIPAL, Operations, Poller, checked, entity, not_missing, principal

SERVICE = ("$schema", "created_on", "creation_context", "id")  # not its author's
STATE = ("provisioning_state", "state")
STATEFUL = "computeinstance"  # the only type that can be stopped


OWN_WORDS = ("tags", "properties")  # whose keys are the user's
SECRET = re.compile("password|secret|private_key$", re.IGNORECASE)


def without_secrets(spec: Any) -> Any:
    """A spec in which what only the machine itself should know is null, as Azure answers it."""
    if isinstance(spec, dict):
        return {
            key: value if key in OWN_WORDS else None if SECRET.search(str(key)) else without_secrets(value)
            for key, value in spec.items()
        }
    return [without_secrets(each) for each in spec] if isinstance(spec, list) else spec


def _password_is_gone(spec: Mapping[str, Any]) -> bool:
    settings = spec.get("ssh_settings")
    return isinstance(settings, Mapping) and settings.get("admin_password", "") is None


def _as_a_file(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec as azure-ai-ml's schema of files takes it, which knows no state, and no password that is null."""
    told = {key: value for key, value in spec.items() if key not in STATE}
    return told | {"ssh_settings": {**spec["ssh_settings"], "admin_password": "-"}} if _password_is_gone(spec) else told


def with_principal(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec whose identity, where a system assigns it, has a principal, which scripts give roles to."""
    identity = spec.get("identity")
    if not isinstance(identity, Mapping) or "system_assigned" not in str(identity.get("type")):
        return spec
    return {**spec, "identity": {**identity, **principal("compute", spec["name"])}}


def without_principal(spec: Mapping[str, Any]) -> dict[str, Any]:
    identity = spec.get("identity")
    if not isinstance(identity, Mapping):
        return dict(spec)
    return {**spec, "identity": {key: value for key, value in identity.items() if key not in PRINCIPAL}}


class ComputeOperations(Operations):
    """`client.compute`: kept so that specs and scripts mean the same; every job runs on this machine."""

    takes = ("Compute",)

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.assets = Assets(workspace, "compute")

    def begin_create_or_update(self, compute: Any, **_: Any) -> Poller:
        spec = {key: value for key, value in compute._to_dict().items() if key not in SERVICE}
        spec = without_secrets(spec)
        spec |= {"provisioning_state": "Succeeded", "location": "local"}
        if str(spec.get("type")).lower() == STATEFUL:
            spec["state"] = "Running"
        self.assets.create(spec)
        return Poller(self.get(compute.name))

    def begin_update(self, compute: Any, **_: Any) -> Poller:
        with not_missing():
            self.assets.get(compute.name)
        return self.begin_create_or_update(compute)

    def begin_delete(self, name: str, **_: Any) -> Poller:
        with not_missing():
            self.assets.delete(name)
        return Poller(None)

    def begin_start(self, name: str, **_: Any) -> Poller:
        return self._become(name, "Running")

    def begin_stop(self, name: str, **_: Any) -> Poller:
        return self._become(name, "Stopped")

    def begin_restart(self, name: str, **_: Any) -> Poller:
        return self._become(name, "Running")

    def get(self, name: str, **_: Any) -> Any:
        with not_missing():
            return self._entity(self.assets.get(name))

    def list(self, *, compute_type: str | None = None, **_: Any) -> Iterator[Any]:
        for spec in self.describe_all():
            if compute_type is None or str(spec.get("type")).lower() == compute_type.lower():
                yield self._entity(spec)

    def describe(self, name: str) -> dict[str, Any]:
        return self._shown(self.assets.get(name))

    def describe_all(self, **_: Any) -> Sequence[dict[str, Any]]:
        return [self._shown(spec) for spec in self.assets.latest()]

    def _shown(self, spec: dict[str, Any]) -> dict[str, Any]:
        return service.compute(self.workspace, with_principal(spec))

    def revise(self, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Make a compute target read as `wanted`. Raises UserError for what makes it another one."""
        kept = self.assets.get(name)
        now = self._shown(kept)
        for key in ("name", "type", "size", "location", "provisioning_state", "state", "id", "created_on"):
            if wanted.get(key) != now.get(key):
                raise UserError(f'compute "{name}": {key} cannot be changed; delete it and create another')
        spec = without_principal(service.unshown(kept, now, wanted))
        if isinstance(spec.get("tags"), Mapping):
            spec["tags"] = texts(spec["tags"])
        checked("compute", name, _as_a_file(spec))
        return self._shown(self.assets.create(without_secrets(spec)))

    def nodes(self, name: str) -> Sequence[dict[str, Any]]:
        """The one node of every compute target: this machine."""
        self.assets.get(name)
        return [
            {
                "current_job_name": None,
                "node_id": "this-machine",
                "node_state": "idle",
                "port": None,
                "private_ip_address": None,
                "public_ip_address": "127.0.0.1",
                "run_id": None,
            }
        ]

    def list_nodes(self, name: str) -> Iterator[Any]:
        from types import SimpleNamespace  # azure-ai-ml's can be made of Azure's own answer only

        with not_missing():
            yield from (SimpleNamespace(**node) for node in self.nodes(name))

    def sizes(self) -> Sequence[dict[str, Any]]:
        """The one size there is: this machine's."""
        import shutil

        import psutil

        disk = shutil.disk_usage(self.workspace.root.anchor).total
        return [
            {
                "estimated_vm_prices": None,
                "family": "thisMachine",
                "gpus": 0,
                "low_priority_capable": False,
                "max_resource_volume_mb": disk // 2**20,
                "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
                "name": "this-machine",
                "os_vhd_size_mb": None,
                "premium_io": False,
                "supported_compute_types": ["AmlCompute", "ComputeInstance"],
                "v_cp_us": os.cpu_count(),
            }
        ]

    def list_sizes(self, **_: Any) -> Iterator[Any]:
        from types import SimpleNamespace

        yield from (SimpleNamespace(**size) for size in self.sizes())

    def list_usage(self, **_: Any) -> Iterator[Any]:
        """How many of this machine's cores there are; nothing here counts who uses them."""
        from types import SimpleNamespace  # azure-ai-ml's Usage is abstract: only its own answers become one

        name = SimpleNamespace(value="cores", localized_value="Cores of this machine")
        yield SimpleNamespace(id="local", limit=os.cpu_count(), current_value=0, unit="Count", name=name, type=None)

    def _become(self, name: str, state: str) -> Poller:
        with not_missing():
            spec = self.assets.get(name)
        if str(spec.get("type")).lower() != STATEFUL:
            raise UserError(f'compute "{name}" is of type {spec.get("type")}; only a {STATEFUL} is started and stopped')
        self.assets.create({**spec, "state": state})
        return Poller(None)

    def _entity(self, spec: dict[str, Any]) -> Any:
        shown = self._shown(spec)
        made = entity("compute", {key: value for key, value in _as_a_file(shown).items() if key not in SERVICE})
        if _password_is_gone(shown):
            made.ssh_settings.admin_password = None
        made._id, made._created_on = shown["id"], shown.get("created_on")
        made._provisioning_state = shown.get("provisioning_state")
        if "state" in shown:
            made._state = shown["state"]
        for key in PRINCIPAL:
            if key in (shown.get("identity") or {}):
                setattr(made.identity, key, shown["identity"][key])
        if made.type.lower() == STATEFUL and made.ssh_settings:
            made.ssh_settings._admin_username = shown["ssh_settings"]["admin_username"]
        return made
