"""MLflow's store of a workspace: made on first use, opened by a client; the only file of `core` that imports MLflow."""

import functools
import logging
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from amlocal.core.durable import publish, sync_folder
from amlocal.core.errors import UserError
from amlocal.core.workspace import Workspace

SQLITE = b"SQLite format 3\0"  # how every such file begins


def get_ready() -> None:
    """Import what MLflow imports when its first store is opened."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def client(workspace: Workspace) -> Any:
    """An MlflowClient on the workspace's store, or the user's own; an SQLite file is made on first use.

    Making it takes seconds of migrations, which two processes cannot do at once, and which must not be seen half-done:
    the file is made under another name, and renamed when it is whole.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    make(workspace)
    with _artifact_root(workspace), _quiet("alembic", "mlflow"):
        opened = MlflowClient(workspace.tracking_uri, workspace.tracking_uri)
    if database := sqlite_file(workspace.tracking_uri):
        _leave_replaced(database, opened)
    return opened


_opened: dict[Path, tuple[int, int]] = {}  # which file each database was when this process last asked for it


def _leave_replaced(database: Path, opened: Any) -> None:
    """Close what MLflow holds of a file that is gone: a workspace that is deleted and made again has another.

    MLflow keeps its connections by the file's path, and SQLite refuses to write through one whose file was moved.
    """
    file = database.stat()
    place = (file.st_dev, file.st_ino)
    if _opened.setdefault(database, place) != place:
        _opened[database] = place
        close(opened)


def close(opened: Any) -> None:
    """Close what MLflow holds of a client's SQLite files; the client opens them again when it is used."""
    for store in (opened._tracking_client.store, opened._get_registry_client().store):
        store.engine.dispose()


def make(workspace: Workspace) -> None:
    """Make the workspace's SQLite file if it is not there. Raises UserError for one that is damaged."""
    database = sqlite_file(workspace.tracking_uri)
    if database is None:
        return
    if not database.exists():
        with workspace.lock("mlflow"):
            if not database.exists():
                _make_store(database, workspace.artifacts)
    with database.open("rb") as file:
        if file.read(len(SQLITE)) != SQLITE:
            raise UserError(damaged_database(database, "it is no SQLite database"))


def is_there(workspace: Workspace) -> bool:
    """Whether there is anything to read; False where a client would make the file first."""
    database = sqlite_file(workspace.tracking_uri)
    return database is None or database.exists()


@contextmanager
def _artifact_root(workspace: Workspace) -> Iterator[None]:
    """`artifact_root` in the environment, meanwhile: the store that MLflow opens keeps it."""
    before = {name: os.environ.get(name) for name in artifact_root(workspace)}
    os.environ.update(artifact_root(workspace))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _quiet(*names: str, level: int = logging.WARNING) -> Iterator[None]:
    """Loggers say what is at least of this level, meanwhile: making a database is no news to a user."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(level, logger.level))
    try:
        yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.setLevel(was)


def damaged_database(database: Path, why: str) -> str:
    """What to say of a database that cannot be read."""
    return (
        f"{database}: damaged: {why}; restore it from a copy, or move it away (a new one has no runs and no models;"
        " jobs and assets are kept elsewhere)"
    )


def sqlite_file(uri: str) -> Path | None:
    """The file that an address of SQLAlchemy's names; None for a server, and for a store in memory."""
    if not uri.startswith("sqlite:"):
        return None
    from sqlalchemy import make_url

    name = make_url(uri).database
    return Path(name) if name and not name.startswith((":", "file:")) else None


def _make_store(database: Path, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    beside = database.with_name(f"{database.name}-new")
    beside.unlink(missing_ok=True)
    with _quiet("alembic", "mlflow"):
        store = SqlAlchemyStore(f"sqlite:///{beside.as_posix()}", artifacts.as_uri())
    store.engine.dispose()  # Windows cannot rename what is open
    if database.exists():  # a program of the user's own has made it meanwhile, and may have logged to it
        beside.unlink()
    else:
        publish(beside, database)


def registering(store: Any, workspace: Workspace) -> Any:
    """The `create_model_version` of a store of MLflow's that creates the model's name, too, as Azure does.

    A local folder is copied into the workspace, as azureml-mlflow uploads it: it may be gone when the call returns.
    """
    create = store.create_model_version

    @functools.wraps(create)
    def create_model_version(name: str, source: str, *arguments: Any, **keywords: Any) -> Any:
        from mlflow.exceptions import MlflowException

        source = kept(source, workspace)
        with suppress(MlflowException):  # it is there; whatever else is wrong with it, `create` says, too
            store.create_registered_model(name)
        return create(name, source, *arguments, **keywords)

    return create_model_version


def kept(source: str, workspace: Workspace) -> str:
    """The address of a model's folder in the workspace; other addresses than those of folders on this machine stay.

    Raises ValueError in azureml-mlflow's words for what is no model.
    """
    if not source.startswith("file://") or not workspace.tracking_uri.startswith("sqlite:"):
        return source
    folder = _folder(source)
    if folder.is_relative_to(workspace.root):
        return source  # a run's, which keeps its files here
    if not is_model(source):
        raise ValueError(
            "Model source must be a directory containing an mlflow MLmodel, as is produced by an mlflow save_model"
            f" function: {source}"
        )
    copy = workspace.artifacts / "LocalUpload" / uuid.uuid4().hex / folder.resolve().name
    shutil.copytree(folder, copy)
    return str(copy.as_uri())


def _folder(source: str) -> Path:
    from urllib.request import url2pathname  # imports ssl and http.client, which `aml --help` has no use for

    folder = Path(source.removeprefix("file://"))  # as azureml-mlflow reads it, relative paths too
    return folder if folder.exists() else Path(url2pathname(urlparse(source).path))


def is_model(source: str) -> bool:
    """Whether `file://...` names a folder that MLflow has saved a model in."""
    return (_folder(source) / "MLmodel").is_file()


class Registry:
    """MLflow's client for its registry of models: what is changed through it is on the disk when the call returns."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._client = workspace, client(workspace)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name.startswith(("get_", "search_")):
            return method

        def change(*arguments: Any, **options: Any) -> Any:
            try:
                return method(*arguments, **options)
            finally:
                _settle(self._workspace)

        return change


def _settle(workspace: Workspace) -> None:
    """Return when what MLflow has been told last is on the disk.

    SQLite ends a transaction by the removal of its journal, and only syncs the folder if `synchronous` is EXTRA, which
    MLflow's is not: after a power cut the journal would be back, and the transaction undone.
    """
    database = sqlite_file(workspace.tracking_uri)
    if database:
        sync_folder(database.parent)


def artifact_root(workspace: Workspace) -> dict[str, str]:
    """The variable by which MLflow keeps the files of experiments it makes itself in the workspace, not in ./mlruns."""
    local = workspace.tracking_uri.startswith("sqlite:")
    return {"_MLFLOW_SERVER_ARTIFACT_ROOT": workspace.artifacts.as_uri()} if local else {}


def close_runs(workspace: Workspace, run_ids: Iterable[str]) -> None:
    """Mark runs failed whose jobs died, as far as MLflow can be reached: the jobs' records are the truth."""
    ids = list(run_ids)
    if ids:
        try:
            store = client(workspace)
            with _quiet("mlflow", level=logging.CRITICAL):  # it would print the failure whole; we say it below
                for run_id in ids:
                    store.set_terminated(run_id, "FAILED")
        except Exception as error:  # MLflow lets through whatever its store raises
            first = str(error).splitlines()[0]
            logging.getLogger(__name__).warning("MLflow does not know yet that the job died: %s", first)
