"""Where things lie on disk, locks and atomic writes; nothing else.

A workspace is the folder `.amlocal/`:

    jobs/<name>/            job.json (the record), plan.json, code/ (the working directory), user_logs/
    datastores/<store>/     what `azureml://datastores/<store>/paths/...` points at; job outputs under azureml/<job>/
    assets/<kind>/<name>/   one <version>.json each for data, environments, components and compute
    environments/<hash>/    Python environments built for jobs
    mlflow.db, artifacts/   MLflow's store: runs, metrics, the model registry
    workspace.json          its name, if `aml workspace create` has given it one

The first workspace is the folder `.amlocal/` itself, any other `.amlocal/workspaces/<name>/` with the same in it.
What they share lies beside them: `registries/<name>/`, `az.json` and `az-records.json`, what scripts have told `az`.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amlocal.core.durable import make_folder, sync_folder
from amlocal.core.errors import NotFound, UserError
from amlocal.core.files import disk_errors, read_json, write_json, write_text
from amlocal.core.names import checked_name, there_are
from amlocal.core.trust import check_workspace

FOLDER = ".amlocal"
REGISTRIES = "registries"  # in it: a folder for each registry
WORKSPACES = "workspaces"  # in it: the folders of all workspaces but the first
RECORD = "workspace.json"
DEFAULTS = "az.json"  # what `az configure --defaults` was told
SHARED = (
    ".gitignore",
    WORKSPACES,
    REGISTRIES,
    DEFAULTS,
    "az-records.json",
    "locks",
)  # is not the first workspace's own
# Which workspace is meant, where there are several and no command says it: Azure's variable in a job, then az's.
NAMED_BY = ("AZUREML_ARM_WORKSPACE_NAME", "AZURE_DEFAULTS_WORKSPACE")
OVERLAY = "python"  # in a job's folder: the prefix that it may install into
DEFAULT_DATASTORE = "workspaceblobstore"
NOBODY = "00000000-0000-0000-0000-000000000000"  # the id of a subscription, a tenant, a user that is not there
PROVIDERS = f"/subscriptions/{NOBODY}/resourceGroups/local/providers"
DATABASE = "mlflow.db"
AZUREML = "azureml:"  # how MLflow's addresses of workspaces in Azure begin
EVERYTHING = "*\n"  # in the .gitignore of every workspace
LEAST_FREE = 64 * 2**20  # bytes


@dataclass(frozen=True)
class Workspace:
    """A workspace by its folder; cheap to make, creates nothing until something is written."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None, name: str | None = None) -> "Workspace":
        """The workspace of `start` (default: the current folder) that is called `name`.

        Where there is one only, it is that one, whatever it is called: programs written for Azure name theirs. Where
        there are several and `name` is None: the one in `AMLOCAL_HOME` if that is not the first's folder, the one that
        the environment names (see NAMED_BY), the one that `az configure --defaults workspace=` has named, the first.

        Raises NotFound for a name that none of several has, and where nothing chooses; UserError for a folder that is
        somebody else's, or that others may write to.
        """
        here = cls.here(start)
        known = here.every()
        if len(known) < 2:
            return known[0] if known else here
        asked, source = (name, "") if name else here._chosen_elsewhere()
        if asked:
            try:
                return cls.at(here.called(asked).root)
            except NotFound as error:
                raise NotFound(f"{source}{error}") from error
        if here.root == here.home and known[0].root != here.home:
            raise NotFound(f"which workspace is meant? Give --workspace-name: {here._names()}")
        return here

    @classmethod
    def here(cls, start: Path | None = None) -> "Workspace":
        """The workspace in `AMLOCAL_HOME` if set, else in `.amlocal/` in the nearest parent of `start` that has one,
        else in `start` itself: the first of those there, unless AMLOCAL_HOME names another's folder."""
        home = os.environ.get("AMLOCAL_HOME")
        if home:
            return cls.at(Path(home).expanduser())
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            if (folder / FOLDER).is_dir():
                return cls.at(folder / FOLDER)
        return cls(start / FOLDER)

    @property
    def home(self) -> Path:
        """The folder `.amlocal/` of all the workspaces that lie with this one."""
        above = self.root.parent
        return above.parent if above.name == WORKSPACES and self._record().get("further") is True else self.root

    def every(self) -> "list[Workspace]":
        """The workspaces that lie with this one, the first first, then by their names; it may not be there yet."""
        first = Workspace(self.home)
        further = [Workspace(each.parent) for each in sorted((self.home / WORKSPACES).glob(f"*/{RECORD}"))]
        if not self.home.is_dir():
            return []
        return [*([first] if not further or first._holds_something() else []), *further]

    def called(self, name: str) -> "Workspace":
        """The one of them with this name, in whatever case, as in Azure. Raises NotFound."""
        for each in self.every():
            if each.name.lower() == name.lower():
                return each
        raise NotFound(f'workspace "{name}" was not found; {self._names()}')

    def further(self, name: str) -> "Workspace":
        """One more workspace beside this one, which is made. Raises UserError for a name that no workspace can have."""
        made = Workspace(self.home / WORKSPACES / checked_name("workspace", name))
        Workspace(self.home).create()
        made.create()
        write_json(made.root / RECORD, {"name": name, "further": True})
        return made

    def _names(self) -> str:
        return there_are(each.name for each in self.every())

    def _holds_something(self) -> bool:
        return any(each.name not in SHARED for each in self.root.iterdir())

    def _chosen_elsewhere(self) -> tuple[str | None, str]:
        """(the name of the workspace that is meant if a command names none, who says so)"""
        if self.root != self.home:
            return None, ""
        for variable in NAMED_BY:
            if os.environ.get(variable):
                return os.environ[variable], f"{variable}: "
        with suppress(OSError):
            told = read_json(self.home / DEFAULTS).get("workspace")
            return (told, "az configure --defaults workspace: ") if isinstance(told, str) else (None, "")
        return None, ""

    def _record(self) -> dict[str, Any]:
        with suppress(OSError):
            return dict(read_json(self.root / RECORD))
        return {}

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
        name = self._record().get("name")
        return name if isinstance(name, str) and name else self.root.parent.name or "local"

    @property
    def beside(self) -> "Workspace":
        """The workspace itself; for a registry the one that it is looked at from."""
        return self

    @property
    def shown(self) -> str:
        """How messages call it."""
        return f"this workspace ({self.root})"

    @property
    def flag(self) -> str:
        """What a command needs beside its other flags to be about this."""
        return ""

    def asset_id(self, *parts: str) -> str:
        """The id of an asset ("models", "my-model", "versions", "1")."""
        return self.id_of(*parts)

    def prefixed_id(self, *parts: str) -> str:
        """The same as azure-ai-ml writes it into files."""
        return f"azureml:{self.asset_id(*parts)}"

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
                write_text(ignore, EVERYTHING)

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
    with suppress(OSError):
        return (database.parent / ".gitignore").read_text(encoding="utf-8") == EVERYTHING
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
