"""The code folder of a job as it was at submission, kept once per content, as Azure's code assets are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amlocal.assets.uploads import Files, copied, listed, put
from amlocal.core.errors import UserError
from amlocal.core.files import disk_errors, hash_path
from amlocal.core.workspace import Workspace

# Python writes these into any folder that it runs; they are nobody's source, and would defeat reuse.
NEVER = {"__pycache__"}


def snapshot(
    workspace: Workspace, code: Path | str | None, includes: Sequence[Any] = (), base: Path | None = None
) -> Path:
    """Copy a code folder (or one file), without what `.amlignore` or `.gitignore` names; returns the kept copy.

    Nor is the workspace copied, where it lies in the folder.
    includes: a component's `additional_includes`, which lie beside the code in the copy; code and they are relative
    to `base`, by default the current folder. Raises UserError for an include that is not there.
    """
    base = base or Path.cwd()
    files = _files(base / code, workspace.home) if code else []
    store = workspace.root / "snapshots"
    with disk_errors(store), copied(files, store) as copy:
        if includes:
            with _merged(copy if code else None, includes, base) as merged:
                return snapshot(workspace, merged)
        return put(copy, store / hash_path(copy))


def _files(code: Path, root: Path) -> Files:
    if code.is_file():
        return [(code, code.name)]
    return [(source, target) for source, target in listed(code, root) if NEVER.isdisjoint(Path(target).parts)]


@contextmanager
def _merged(code: Path | None, includes: Sequence[Any], base: Path) -> Iterator[Path]:
    """A folder with the code and what goes beside it, for a moment."""
    from azure.ai.ml.entities._component._additional_includes import AdditionalIncludes

    merging = AdditionalIncludes(origin_code_value=str(code) if code else None, base_path=base, configs=list(includes))
    problems = merging.validate().error_messages
    if problems:
        raise UserError(f"additional_includes: {next(iter(problems.values()))}")
    with merging.merge_local_code_and_additional_includes() as merged:
        yield merged
