"""What create, show and list do alike for the versioned assets: models, data, environments, components."""

from typing import Any

from amlocal.cli.printing import created, described_all, view
from amlocal.cli.specs import load


def create(
    operations: Any, kind: str, file: str | None, overrides: list[dict[str, Any]] | None, flags: list[dict[str, Any]]
) -> dict[str, Any]:
    """Register the asset that `file`, `--set` and the other flags describe; the last named win over the first."""
    entity = operations.create_or_update(load(kind, file, [*(overrides or []), *flags]))
    return created(operations, entity, str(entity.version))


def list_all(
    operations: Any, name: str | None, max_results: int | None, include_archived: bool, archived_only: bool
) -> list[dict[str, Any]]:
    """Every asset's latest version, or all versions of `name`."""
    return described_all(operations, max_results, name=name, list_view_type=view(include_archived, archived_only))
