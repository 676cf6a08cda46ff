"""`az storage`: accounts are records, containers and file systems are folders that the local datastores share."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from amlocal.assets import containers
from amlocal.assets.uris import below
from amlocal.core.errors import NotFound, UserError
from amlocal.core.files import copy_into, files_below
from amlocal.core.workspace import Workspace
from amlocal.exec.azcli import records
from amlocal.exec.azcli.given import Given, UsageError
from amlocal.exec.azcli.notes import note

ACCOUNTS = "Microsoft.Storage/storageAccounts"
ACCOUNT_KEY = "bG9jYWw="  # base64 of "local": what asks for a key gets one, nothing checks it


# ---- accounts --------------------------------------------------------------------------------------------------------


def keys(given: Given) -> list[dict[str, Any]]:
    records.find_resource(ACCOUNTS, given.required("account_name"))
    return [{"keyName": name, "permissions": "FULL", "value": ACCOUNT_KEY} for name in ("key1", "key2")]


def connection_string(given: Given) -> dict[str, str]:
    name = records.find_resource(ACCOUNTS, given.required("name"))["name"]
    parts = ("DefaultEndpointsProtocol=https", "EndpointSuffix=core.windows.net", f"AccountName={name}")
    return {"connectionString": ";".join([*parts, f"AccountKey={ACCOUNT_KEY}"])}


def check_name(given: Given) -> dict[str, Any]:
    name = given.required("name")
    taken = any(each["name"] == name.lower() for each in records.resources(ACCOUNTS))
    reason = "AlreadyExists" if taken else None
    message = f"The storage account named {name} is already taken." if taken else None
    return {"message": message, "nameAvailable": not taken, "reason": reason}


def account_of(given: Given) -> str:
    """The account that a command, its connection string or the environment names."""
    text = given.text("connection_string") or os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    told = dict(part.partition("=")[::2] for part in text.split(";"))
    name = given.text("account_name") or told.get("AccountName") or os.environ.get("AZURE_STORAGE_ACCOUNT")
    if not name:
        raise UserError("storage: no account: give --account-name, --connection-string, or AZURE_STORAGE_ACCOUNT")
    return name


# ---- containers and file systems -------------------------------------------------------------------------------------


def place(account: str, container: str) -> tuple[Path, bool]:
    """The folder of a container, and whether the container is there.

    One of an account that nobody created here is taken to be, as a resource group is.
    """
    workspace = Workspace.find()
    folder = containers.folder(workspace, account, container)
    ours = any(each["name"] == account for each in records.read()["resources"].values() if each["type"] == ACCOUNTS)
    return folder, folder.is_dir() or folder.parent == workspace.root / "datastores" or not ours


def opened(given: Given, key: str) -> Path:
    """The folder of the container that a flag names. Raises NotFound."""
    return opened_container(account_of(given), given.required(key))


def opened_container(account: str, container: str) -> Path:
    folder, there = place(account, container)
    if not there:
        raise NotFound(
            f"The specified container does not exist. ErrorCode:ContainerNotFound: {container} in {account};"
            f" see `az storage container create`"
        )
    return folder


def container_create(given: Given) -> dict[str, bool]:
    account, name = account_of(given), given.required("name")
    folder, _ = place(account, name)
    made = not folder.is_dir()
    if made:
        with Workspace.find().lock("az"):
            folder.mkdir(parents=True, exist_ok=True)
        note(f"the container {name} of {account} is the folder {folder}")
    return {"created": made}


def container_exists(given: Given) -> dict[str, bool]:
    return {"exists": place(account_of(given), given.required("name"))[1]}


def container_show(given: Given) -> dict[str, Any]:
    opened(given, "name")
    return _container(given.required("name"))


def container_list(given: Given) -> list[dict[str, Any]]:
    prefix = given.text("prefix") or ""
    found = containers.names(Workspace.find(), account_of(given))
    return [_container(name) for name in found if name.startswith(prefix)]


def _container(name: str) -> dict[str, Any]:
    return {"deleted": None, "metadata": None, "name": name, "properties": {"publicAccess": None}}


def container_delete(given: Given) -> dict[str, bool]:
    account, name = account_of(given), given.required("name")
    folder, there = place(account, name)
    if there and folder.parent == Workspace.find().root / "datastores":
        raise UserError(f"storage: {name} is the container of the datastore {folder.name}; its files stay")
    if folder.is_dir():
        shutil.rmtree(folder)
    return {"deleted": there}


def sas(given: Given) -> str:
    opened(given, "name")
    return f"se={quote(given.text('expiry') or '')}&sp={given.text('permissions') or ''}&sig=local"


# ---- blobs -----------------------------------------------------------------------------------------------------------


def described(file: Path, name: str, container: str) -> dict[str, Any]:
    """A blob as `az storage blob show` and `list` print one."""
    about = file.stat()
    time = datetime.fromtimestamp(about.st_mtime, UTC).isoformat(timespec="seconds")
    return {
        "container": container,
        "deleted": False,
        "metadata": {},
        "name": name,
        "properties": {
            "blobType": "BlockBlob",
            "contentLength": about.st_size,
            "contentSettings": {"contentType": "application/octet-stream"},
            "creationTime": time,
            "etag": _etag(file),
            "lastModified": time,
        },
    }


def _etag(file: Path) -> str:
    about = file.stat()
    return hashlib.sha256(f"{about.st_mtime_ns} {about.st_size}".encode()).hexdigest()[:16]


def blob(given: Given, container_key: str = "container_name", name_key: str = "name") -> tuple[Path, str]:
    """The file of a blob that is there, and its name. Raises NotFound."""
    name = given.required(name_key)
    file = below(opened(given, container_key), name, name)
    if not file.is_file():
        raise NotFound(f"The specified blob does not exist. ErrorCode:BlobNotFound: {name}")
    return file, name


def upload(given: Given, container_key: str = "container_name", name_key: str = "name", file_key: str = "file") -> Any:
    folder = opened(given, container_key)
    source, data = given.text(file_key), given.text("data")
    if (source is None) == (data is None):
        raise UsageError(f"storage: give either --{file_key} or --data")
    name = given.text(name_key) or Path(source or "").name
    if not name:
        raise UsageError(f"the following arguments are required: --{name_key}")
    target = below(folder, name, name)
    if source is not None and not Path(source).is_file():
        raise UserError(f"{source}: there is no such file")
    if target.exists() and not given.switch("overwrite"):
        raise UserError(
            f"The specified blob already exists. ErrorCode:BlobAlreadyExists: {name};"
            " if you want to overwrite the existing one, please add --overwrite in your command"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    if source is not None:
        shutil.copy2(source, target)
    else:
        target.write_text(str(data), "utf-8")
    about = described(target, name, "")["properties"]
    return {"etag": about["etag"], "lastModified": about["lastModified"], "request_server_encrypted": True}


def _destination(given: Given, key: str) -> tuple[str, str, str]:
    """Account, container and the folder in it, of `CONTAINER[/FOLDER]` or of an address."""
    text = given.required(key)
    if "://" in text:
        address = urlsplit(text)
        account, path = (address.hostname or "").partition(".")[0], unquote(address.path).strip("/")
    else:
        account, path = account_of(given), text.strip("/")
    container, _, inside = path.partition("/")
    return account, container, inside


def upload_batch(given: Given) -> list[dict[str, Any]]:
    account, container, inside = _destination(given, "destination")
    folder = opened_container(account, container)
    source, pattern = Path(given.required("source")), given.text("pattern")
    if not source.is_dir():
        raise UserError(f"storage blob upload-batch: --source {source}: there is no such folder")
    inside = "/".join(filter(None, [inside, given.text("destination_path")]))
    told = []
    for file, place_below in files_below(source):
        name = "/".join(filter(None, [inside.strip("/"), place_below]))
        target = below(folder, name, name)
        if pattern and not fnmatch(place_below, pattern):
            continue
        if target.exists() and not given.switch("overwrite"):
            note(f"{name} is there already and is left as it is; --overwrite replaces it")
            continue
        if not given.switch("dryrun"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
            address = f"https://{account}.blob.core.windows.net/{container}/{quote(name)}"
            about = described(target, name, container)["properties"]
            told.append({"Blob": address, "Last Modified": about["lastModified"], "Type": None, "eTag": about["etag"]})
    return told


def blobs(given: Given, container_key: str, prefix_key: str, pattern: str | None = None) -> Iterator[tuple[Path, str]]:
    """The files of a container whose names begin with a prefix."""
    folder = opened(given, container_key)
    prefix = given.text(prefix_key) or ""
    if folder.is_dir():
        for file, name in files_below(folder):
            if name.startswith(prefix) and (pattern is None or fnmatch(name, pattern)):
                yield file, name


def blob_list(given: Given) -> list[dict[str, Any]]:
    limit = given.text("num_results")
    found = [
        described(file, name, given.required("container_name"))
        for file, name in blobs(given, "container_name", "prefix")
    ]
    return found[: int(limit)] if limit and limit.isdecimal() else found


def blob_show(given: Given) -> dict[str, Any]:
    return described(*blob(given), given.required("container_name"))


def blob_exists(given: Given) -> dict[str, bool]:
    name = given.required("name")
    folder, there = place(account_of(given), given.required("container_name"))
    return {"exists": there and below(folder, name, name).is_file()}


def blob_url(given: Given) -> str:
    return (
        f"https://{account_of(given)}.blob.core.windows.net/{given.required('container_name')}/{given.required('name')}"
    )


def blob_delete(given: Given) -> None:
    file, _ = blob(given)
    file.unlink()


def download(given: Given, container_key: str, name_key: str, file_key: str) -> Any:
    file, name = blob(given, container_key, name_key)
    target = Path(given.text(file_key) or Path(name).name)
    if target.is_dir():
        target = target / Path(name).name
    if not target.parent.is_dir():
        raise UserError(f"{target}: there is no folder {target.parent}")
    shutil.copy2(file, target)
    return described(file, name, given.required(container_key))


def download_batch(given: Given) -> list[str]:
    account, container, inside = _destination(given, "source")
    target = Path(given.required("destination"))
    if not target.is_dir():
        raise UserError(f"storage blob download-batch: --destination {target}: there is no such folder")
    source = Given({**given, "account_name": [account], "container_name": [container], "prefix": [inside]})
    told = []
    for file, name in blobs(source, "container_name", "prefix", given.text("pattern")):
        if not given.switch("dryrun"):
            copy_into(file, below(target, name, name).parent)
        told.append(name)
    return told


def fs_files(given: Given) -> list[dict[str, Any]]:
    found = blobs(given, "file_system", "path")
    return [{"contentLength": file.stat().st_size, "isDirectory": False, "name": name} for file, name in found]


COMMANDS: dict[str, Callable[[Given], Any]] = {
    "storage account keys list": keys,
    "storage account show-connection-string": connection_string,
    "storage account check-name": check_name,
    "storage container create": container_create,
    "storage container show": container_show,
    "storage container list": container_list,
    "storage container exists": container_exists,
    "storage container delete": container_delete,
    "storage container generate-sas": sas,
    "storage fs create": container_create,
    "storage fs list": container_list,
    "storage fs exists": container_exists,
    "storage fs delete": container_delete,
    "storage fs file upload": partial(upload, container_key="file_system", name_key="path", file_key="source"),
    "storage fs file list": fs_files,
    "storage fs file download": partial(download, container_key="file_system", name_key="path", file_key="destination"),
    "storage blob upload": upload,
    "storage blob upload-batch": upload_batch,
    "storage blob list": blob_list,
    "storage blob show": blob_show,
    "storage blob exists": blob_exists,
    "storage blob url": blob_url,
    "storage blob delete": blob_delete,
    "storage blob download": partial(download, container_key="container_name", name_key="name", file_key="file"),
    "storage blob download-batch": download_batch,
}
