"""Where things lie on disk, locks and atomic writes; nothing else.

A workspace is the folder `.amlocal/`:

    jobs/<name>/            job.json (the record), plan.json, code/ (the working directory), user_logs/
    datastores/<store>/     what `azureml://datastores/<store>/paths/...` points at; job outputs under azureml/<job>/
    assets/<kind>/<name>/   one <version>.json each for data, environments, components and compute
    environments/<hash>/    Python environments built for jobs
    mlflow.db, artifacts/   MLflow's store: runs, metrics, the model registry
    workspace.json          its name, if `aml workspace create` has given it one
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from amlocal.core.durable import make_folder, sync_folder
from amlocal.core.errors import UserError
from amlocal.core.files import disk_errors, read_json, write_text
from amlocal.core.trust import check_workspace

FOLDER = ".amlocal"
OVERLAY = "python"  # in a job's folder: the prefix that it may install into
DEFAULT_DATASTORE = "workspaceblobstore"
NOBODY = "00000000-0000-0000-0000-000000000000"  # the id of a subscription, a tenant, a user that is not there
PROVIDERS = f"/subscriptions/{NOBODY}/resourceGroups/local/providers"
DATABASE = "mlflow.db"
AZUREML = "azureml:"  # how MLflow's addresses of workspaces in Azure begin
LEAST_FREE = 64 * 2**20  # bytes


@dataclass(frozen=True)
class Workspace:
    """A workspace by its folder; cheap to make, creates nothing until something is written."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> "Workspace":
        """The workspace of `start` (default: the current folder).

        `AMLOCAL_HOME` if set, else `.amlocal/` in the nearest parent that has one, else in `start` itself. Raises
        UserError for one that is somebody else's, or that others may write to.
        """
        home = os.environ.get("AMLOCAL_HOME")
        if home:
            return cls.at(Path(home).expanduser())
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            if (folder / FOLDER).is_dir():
                return cls.at(folder / FOLDER)
        return cls(start / FOLDER)

    @classmethod
    def at(cls, root: Path) -> "Workspace":
        """The workspace in a folder. Raises UserError for one that is somebody else's, or that others may write to."""
        check_workspace(root)
        whole = root.resolve()
        if whole != root:  # a link of ours may lead to what is somebody else's
            check_workspace(whole)
        return cls(whole)

    @property
    def name(self) -> str:
        """The name it was created with, else that of the folder it lies in."""
        with suppress(OSError):
            name = read_json(self.root / "workspace.json").get("name")
            if isinstance(name, str) and name:
                return name
        return self.root.parent.name or "local"

    def id_of(self, *parts: str) -> str:
        """The ARM id of what `parts` name ("jobs", "my-job"); programs take the subscription and the group out of it.

        In it the workspace has a name that a workspace in Azure can have, whatever its folder is called.
        """
        name = re.sub(r"[^\w-]+", "-", self.name, flags=re.ASCII)
        return "/".join([f"{PROVIDERS}/Microsoft.MachineLearningServices/workspaces/{name}", *parts])

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    @property
    def assets(self) -> Path:
        return self.root / "assets"

    @property
    def environments(self) -> Path:
        return self.root / "environments"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def database(self) -> Path:
        return self.root / DATABASE

    @property
    def tracking_uri(self) -> str:
        """MLflow's store: `MLFLOW_TRACKING_URI` if the user has set it, else SQLite in the workspace.

        An address of Azure's is this workspace. That of a workspace here was not set by the user but by `aml exec`, by
        a job, or by MLflow, which puts what a program sets into its environment.
        """
        told = os.environ.get("MLFLOW_TRACKING_URI")
        if told and not told.startswith(AZUREML) and not _is_of_a_workspace(told):
            return told
        return f"sqlite:///{self.database.as_posix()}"

    @property
    def shown_uri(self) -> str:
        """The same for a person to see: without the password that an address may hold."""
        return re.sub(r"//[^/@]*@", "//***@", self.tracking_uri)

    def datastore(self, name: str = DEFAULT_DATASTORE) -> Path:
        return self.root / "datastores" / name

    def create(self) -> None:
        """Make the folder, with a .gitignore of its own so that no repository takes it in."""
        with disk_errors(self.root):
            make_folder(self.root.parent)
            if not self.root.is_dir():
                self.root.mkdir(mode=0o700, exist_ok=True)
                sync_folder(self.root.parent)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                write_text(ignore, "*\n")

    def require_space(self) -> None:
        """Raises UserError when the disk is so full that a job could not even write down how it failed."""
        free = shutil.disk_usage(self.root).free
        if free < LEAST_FREE:
            raise UserError(
                f"{self.root}: the disk is full ({free / 2**20:.0f} MiB left); free some space and try again"
            )

    @contextmanager
    def lock(self, what: str, timeout: float = 60.0) -> Iterator[None]:
        """Hold the workspace's lock called `what` against every other process.

        Raises UserError when another process keeps it longer than `timeout` seconds.
        """
        from filelock import FileLock, Timeout

        self.create()
        path = self.root / "locks" / f"{what}.lock"
        path.parent.mkdir(exist_ok=True)
        try:
            with FileLock(path, timeout=timeout, mode=0o600):
                yield
        except Timeout as error:
            holder = _holder(path) or "another aml"
            raise UserError(f"{path}: {holder} has held this lock for {timeout:.0f} s; see `aml doctor`") from error


def _is_of_a_workspace(uri: str) -> bool:
    """Whether an address of MLflow's names the database of a workspace, this one or another."""
    database = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or database.name != DATABASE:
        return False
    return database.parent.name == FOLDER or (database.parent / "jobs").is_dir()


def _holder(lock: Path) -> str | None:
    """Who holds a lock, where the system tells: Linux, in /proc/locks (proc(5))."""
    try:
        inode = lock.stat().st_ino
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            _, kind, *_, pid, place, _, _ = line.split()
            if kind == "FLOCK" and place.endswith(f":{inode}"):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                return f"process {pid} ({command.strip()[:100]})"
    except (OSError, ValueError):
        pass
    return None
