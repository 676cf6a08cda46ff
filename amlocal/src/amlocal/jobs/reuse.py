"""Whether a step has been run before: the same command, code, inputs and environment give the earlier outputs."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from amlocal.core.durable import make_folder, sync
from amlocal.core.files import hash_path, write_text
from amlocal.jobs.record import JobRecord, JobStore
from amlocal.specs.plan import Step


def fingerprint(step: Step, inputs: Mapping[str, str | Path | None]) -> str:
    """What a step's outputs depend on, as one hash.

    inputs: the step's inputs by name: literals, paths (their contents count, not their names) or None.
    """
    environment = {key: value for key, value in (step.environment or {}).items() if key != "source"}
    depends = {
        "command": step.command,
        "type": step.type,
        "settings": step.settings,
        "distribution": asdict(step.distribution) if step.distribution else None,
        # a snapshot's folder is named after its content
        "code": Path(step.code).name if step.code else None,
        "environment": environment,
        "environment_variables": step.environment_variables,
        "inputs": {name: hash_path(value) if isinstance(value, Path) else value for name, value in inputs.items()},
        "outputs": {name: output.type for name, output in step.outputs.items()},
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()


class ReuseIndex:
    """fingerprint -> the job that ran it."""

    def __init__(self, store: JobStore) -> None:
        self.store = store
        self.folder = store.workspace.root / "reuse"

    def find(self, key: str) -> JobRecord | None:
        """A completed job with this fingerprint whose outputs are all still there."""
        try:
            record = self.store.read((self.folder / key).read_text(encoding="utf-8"))
        except Exception:  # a record that is not there, or cannot be read, is no reason to fail a new job
            return None
        there = all(Path(output["path"]).exists() for name, output in record.outputs.items() if name != "artifacts")
        return record if record.status == "Completed" and there else None

    def add(self, key: str, record: JobRecord) -> None:
        sync(*(Path(output["path"]) for name, output in record.outputs.items() if name != "artifacts"))
        make_folder(self.folder)
        write_text(self.folder / key, record.name)
