"""The code folder of a job as it was at submission, kept once per content, as Azure's code assets are."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from amlocal.jobs.reuse import hash_path
from amlocal.workspace import Workspace, disk_errors

# Python writes these into any folder that it runs; they are nobody's source, and would defeat reuse.
NEVER = {"__pycache__"}


def snapshot(workspace: Workspace, code: Path) -> Path:
    """Copy a code folder (or one file), leaving out what `.amlignore` or `.gitignore` says; returns the kept copy."""
    from azure.ai.ml._utils._asset_utils import get_ignore_file, get_upload_files_from_folder

    store = workspace.root / "snapshots"
    with disk_errors(store):
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store, prefix=".") as scratch:
            copy = Path(scratch, "code")
            copy.mkdir()
            if code.is_file():
                shutil.copy2(code, copy)
            else:
                files: Any = get_upload_files_from_folder(code, ignore_file=get_ignore_file(code))
                for source, target in files:
                    if not NEVER.intersection(Path(target).parts):
                        place = copy / target
                        place.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy2(source, place)
            kept = store / hash_path(copy)
            if not kept.exists():
                try:
                    copy.rename(kept)
                except OSError:  # somebody else has just put the same content there
                    if not kept.exists():
                        raise
            return kept
