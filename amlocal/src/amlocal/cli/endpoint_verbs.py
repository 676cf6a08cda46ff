"""What online and batch endpoints and their deployments do alike: `update`, with a file or with --set."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from amlocal.cli.arguments import given
from amlocal.cli.printing import described
from amlocal.cli.specs import load
from amlocal.cli.updates import Changes
from amlocal.core.errors import UserError


def endpoint_to_put(
    kind: str,
    endpoints: Any,
    fields: Sequence[str],
    file: str | None,
    name: str | None,
    changes: Changes | None,
    flags: list[dict[str, Any]],
) -> tuple[Any, dict[str, Any]]:
    """(the endpoint as `update` wants it, as it is now). Raises UserError.

    kind: as for `load`; fields: what can be changed; flags: what other flags set, as {property: value}.
    """
    changes = changes or Changes()
    entity = load(kind, file, [*changes.overrides(), *flags, *given(name=name)]) if file else None
    name = entity.name if entity else name
    if not name:
        raise UserError("update: name the endpoint with --name, or give a --file that does")
    now = described(endpoints, name)
    if entity is None:
        entity = changed(kind, now, changes, fields, flags)
    return entity, now


def update_deployment(
    deployments: Any,
    file: str | None,
    name: str | None,
    endpoint_name: str | None,
    changes: Changes | None,
    no_wait: bool,
    read: Callable[[str, list[dict[str, Any]]], Any],
    change: Callable[[dict[str, Any], Changes], Any],
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """What the `update` of a deployment prints. Raises UserError.

    read: the entity of a file and overrides; change: the entity of what is there now and the changes; options: for
    `begin_create_or_update`.
    """
    changes = changes or Changes()
    if file:
        entity = read(file, [*changes.overrides(), *given(name=name, endpoint_name=endpoint_name)])
        described(deployments, entity.name, endpoint_name=entity.endpoint_name)  # it must be there
    elif name and endpoint_name:
        entity = change(described(deployments, name, endpoint_name=endpoint_name), changes)
    else:
        raise UserError("update: name the deployment with --name and --endpoint-name, or give a --file that does")
    updating = deployments.begin_create_or_update(entity, **(options or {}))
    if no_wait:
        return None
    updating.result()
    return described(deployments, entity.name, endpoint_name=entity.endpoint_name)


def changed(
    kind: str, now: dict[str, Any], changes: Changes, fields: Sequence[str], flags: Sequence[dict[str, Any]] = ()
) -> Any:
    """The entity that `now` describes, after the changes; only `fields` are theirs to change. Raises UserError."""
    import io

    import yaml

    from amlocal.operations.common import one_line
    from amlocal.specs.load import loader

    after = changes.applied(now)
    for path in sorted(key for key in now.keys() | after.keys() if now.get(key) != after.get(key)):
        if path not in fields or path == "name":
            raise UserError(f"--set {path}: cannot be changed; what can is {', '.join(fields[1:])}")
    text = yaml.safe_dump({key: after[key] for key in fields if after.get(key) is not None})
    try:
        return loader(kind)(io.StringIO(text), params_override=list(flags))
    except Exception as error:  # marshmallow's and azure-ai-ml's, each of its own kind
        raise UserError(f"{kind} {now['name']}: {one_line(error)}") from error
