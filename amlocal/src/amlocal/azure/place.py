"""Which workspace in Azure is meant: the three names that `az ml` needs, from where az takes them."""

import configparser
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError


@dataclass(frozen=True)
class Place:
    """A workspace's address in Azure."""

    subscription: str | None = None
    resource_group: str | None = None
    workspace: str | None = None

    def otherwise(self, other: "Place") -> "Place":
        """This place, and `other`'s names where this one has none."""
        return Place(
            self.subscription or other.subscription,
            self.resource_group or other.resource_group,
            self.workspace or other.workspace,
        )


def find(
    flags: Place, environment: Mapping[str, str] = os.environ, folder: Path | None = None, whole: bool = True
) -> Place:
    """The place that the flags, the environment, az's defaults or the nearest `config.json` name, in this order.

    The environment's names are az's: AZURE_DEFAULTS_GROUP and AZURE_DEFAULTS_WORKSPACE, and AZURE_SUBSCRIPTION_ID for
    the subscription. A `config.json` (as the studio offers for download) is taken whole or not at all: its group is not
    looked for in the subscription that az happens to be signed in to.

    whole: whether a group and a workspace are needed; a subscription always is.
    Raises UserError naming what is missing and how to give it.
    """
    named = flags.otherwise(
        Place(
            environment.get("AZURE_SUBSCRIPTION_ID"),
            environment.get("AZURE_DEFAULTS_GROUP"),
            environment.get("AZURE_DEFAULTS_WORKSPACE"),
        )
    )
    settings = Path(environment.get("AZURE_CONFIG_DIR") or Path.home() / ".azure")
    defaults = _defaults(settings)
    if not (named.otherwise(defaults).resource_group and named.otherwise(defaults).workspace):
        defaults = _config_file(folder or Path.cwd()) or defaults
    place = named.otherwise(defaults)
    if not place.subscription:
        place = replace(place, subscription=_current_subscription(settings))
    for value, what, flag, other in (
        (place.subscription, "subscription", "--subscription", "`az login`, or AZURE_SUBSCRIPTION_ID"),
        (place.resource_group, "resource group", "--resource-group", "`az configure --defaults group=NAME`"),
        (place.workspace, "workspace", "--workspace-name", "`az configure --defaults workspace=NAME`"),
    ):
        if not value and (whole or what == "subscription"):
            raise UserError(f"no {what}: give {flag}, or {other}, or a config.json of the workspace in this folder")
    return place


def _defaults(settings: Path) -> Place:
    """What `az configure --defaults group=... workspace=...` has written."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(settings / "config", encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise UserError(f"{settings / 'config'}: {' '.join(str(error).split())}; mend it or delete it") from error
    return Place(
        resource_group=parser.get("defaults", "group", fallback=None) or None,
        workspace=parser.get("defaults", "workspace", fallback=None) or None,
    )


def _current_subscription(settings: Path) -> str | None:
    """The one that `az account set` has chosen."""
    profile = _read(settings / "azureProfile.json") or {}
    chosen = (each.get("id") for each in profile.get("subscriptions") or [] if each.get("isDefault"))
    return next(chosen, None)


def _config_file(folder: Path) -> Place | None:
    """The nearest `config.json` that names a workspace, in `folder` or above it."""
    for path in _config_files(folder):
        content = _read(path)
        if isinstance(content, dict) and content.get("workspace_name"):
            place = Place(*(content.get(key) for key in ("subscription_id", "resource_group", "workspace_name")))
            if not (place.subscription and place.resource_group):
                raise UserError(f"{path}: subscription_id and resource_group are required beside workspace_name")
            return place
    return None


def _config_files(folder: Path) -> Iterator[Path]:
    for parent in (folder, *folder.parents):
        yield parent / ".azureml" / "config.json"
        yield parent / "config.json"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))  # az writes its profile with a byte order mark
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); mend it or delete it") from error
