"""From a YAML file and the flags beside it to an azure-ai-ml entity."""

from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError


def load(kind: str, file: str | None, overrides: list[dict[str, Any]]) -> Any:
    """Load the specification of a job, model, ...; without a file the flags alone describe it.

    Raises UserError naming the file or flag, the field and the remedy.
    """
    if any(override.get("name") == "" for override in overrides):
        raise UserError("--name: it is empty; give a name")
    if file is not None:
        from amlocal import specs

        return specs.load(kind, Path(file), overrides)
    if not any("name" in override for override in overrides):
        raise UserError(f"{kind}: give either --file, or --name and the flags that describe it")
    from amlocal.specs.load import loader, look_over_files

    look_over_files(overrides, Path(), set())
    read = loader(kind)
    try:
        return read(None, params_override=overrides)
    except Exception as error:  # marshmallow's and azure-ai-ml's, each of its own kind
        from amlocal.operations.common import one_line

        raise UserError(f"the flags do not describe {_article(kind)}: {one_line(error)}") from error


def _article(kind: str) -> str:
    return kind if kind == "data" else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
