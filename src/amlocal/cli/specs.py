"""From a YAML file and the flags beside it to an azure-ai-ml entity."""

from pathlib import Path
from typing import Any

from amlocal.errors import UserError


def load(kind: str, file: str | None, overrides: list[dict[str, Any]]) -> Any:
    """Load the specification of a job, model, ...; without a file the flags alone describe it.

    Raises UserError naming the file or flag, the field and the remedy.
    """
    if file is not None:
        from amlocal import specs

        return specs.load(kind, Path(file), overrides)
    if not any("name" in override for override in overrides):
        raise UserError(f"a {kind} needs either --file, or --name and the flags that describe it")
    from amlocal.specs.load import loader

    read = loader(kind)
    try:
        return read(None, params_override=overrides)
    except Exception as error:  # marshmallow's and azure-ai-ml's, each of its own kind
        problem = " ".join(str(getattr(error, "message", None) or error).split())
        problem = problem.partition(" Visit this link")[0]  # the rest is advice for authors of files
        raise UserError(f"the flags do not describe a {kind}: {problem}") from error
