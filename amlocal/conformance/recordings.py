"""Compare what the real service answered with what is answered here.

    python conformance/recordings.py FOLDER [--table docs/parity.md] [--quiet]

FOLDER holds recordings of azure-ai-ml's own tests (Azure/azure-sdk-assets, python/sdk/ml/azure-ai-ml/tests/recordings).
Two comparisons: (keys) what `az ml ... show` prints of a recorded body against what `aml ... show` prints of the same
thing made here; (statuses, leaves) the recorded answers against those of the tests' double of Azure, which is sent the
recorded requests. Every difference is printed; the last line is a JSON object with the three percentages, and the exit
code is 1 when one of them is below its aim.
"""

import argparse
import fnmatch
import json
import logging
import re
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

import recorded
from local_answers import Scratch

from amlocal.core.errors import Absent

AIMS = {"keys": 95.0, "statuses": 100.0, "leaves": 90.0}

# What only a cloud has: (kind, key, why a laptop has it not, or has it in another form).
CLOUD = [
    ("*", "creation_context.last_modified_by*", "who changed it last is not kept: there is one user"),
    ("*job", "services.Tracking.endpoint", "MLflow's store here is a database or a server of your own"),
    ("*job", "services.Tracking*", "MLflow's store here is a database or a server of your own"),
    ("*job", "properties.*", "the service's own notes on where and how a job runs"),
    ("sweep job", "tags._aml_system_*", "the notes of Azure's own sweep service"),
    ("*", "*code", "code is a folder that is kept here, not an asset of its own"),
    ("*", "*environment", "a registry's environment keeps the name that was asked for"),
    ("model", "path", "a model's content is copied into MLflow's registry on this disk"),
    ("compute", "network_settings*", "there is no network between this machine and itself"),
    ("compute", "services", "no machine is started, so no Jupyter runs on it"),
    ("compute", "last_operation*", "nothing is done on a machine that is not there"),
    ("compute", "os_image_metadata*", "no machine is started, so it has no image"),
    ("compute", "enable_os_patching", "no machine is started, so it has no image"),
    ("compute", "release_quota_on_stop", "there is no quota"),
    ("compute", "ssh_settings.ssh_port", "no machine is started that one could sign in to"),
    ("online endpoint", "properties.AzureAsyncOperationUri", "the address of an operation in Azure Resource Manager"),
    ("online deployment", "properties.*", "addresses of operations in Azure Resource Manager"),
    ("registry", "container_registry*", "images are not pushed anywhere"),
    ("registry", "storage_config*", "a folder"),
    ("registry", "replication_locations*", "a folder"),
    ("registry", "managed_resource_group*", "a folder stands on nothing else"),
    ("registry", "discovery_url", "there are no services to discover"),
    ("registry", "mlflow_registry_uri", "MLflow's store here is a database or a server of your own"),
    ("registry", "identity*", "a registry here acts as you"),
    ("workspace", "discovery_url", "there are no services to discover"),
    ("workspace", "mlflow_tracking_uri", "MLflow's store here is a database or a server of your own"),
    ("workspace", "storage_account", "a folder"),
    ("workspace", "container_registry", "one is always there; in Azure it comes with the first image that is built"),
    ("batch deployment", "properties.*", "addresses of operations in Azure Resource Manager"),
    ("batch endpoint", "properties.*", "addresses of operations in Azure Resource Manager"),
    ("workspace", "network_acls*", "there is no network"),
    ("workspace", "managed_network*", "there is no network"),
    ("workspace", "identity*", "a workspace here acts as you"),
    ("workspace", "allow_roleassignment_on_rg", "there are no roles"),
    ("workspace", "system_datastores_auth_mode", "a datastore is a folder: there is nothing to sign in to"),
]
# What differs on purpose: (kind, key, how, why).
ON_PURPOSE = [
    (
        "*job",
        "inputs.*.path",
        "azureml:NAME there, an address here",
        "azure-ai-ml writes azureml: before an address as well (azureml:https://...), which nothing can open",
    ),
]
# Keys whose values are words of Azure's; everywhere else the form counts, not the value.
WORDS = re.compile(
    r"(^|\.)(\w*type|mode|stage|tier|job_tier|kind|os_type|goal|auth_mode|public_network_access|egress_\w+|rule|"
    r"isolation_mode|frequency|time_zone|created_by_type|\w*_access_enabled|is_\w+|enable_\w+|shm_size|instance_count)$"
)
FORMS = [
    ("an ARM id", re.compile(r"/subscriptions/.*", re.I)),
    ("azureml: and an ARM id", re.compile(r"azureml:/subscriptions/.*", re.I)),
    ("an azureml:// address", re.compile(r"azureml://.*")),
    ("azureml:NAME", re.compile(r"azureml:.*")),
    ("an address", re.compile(r"https?://.*")),
    ("a time", re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")),
    ("a path", re.compile(r"/.*")),
]


def form(value: Any) -> str:
    """What kind of value it is."""
    if isinstance(value, str):
        return next((name for name, pattern in FORMS if pattern.fullmatch(value)), "a text")
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "null")


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value that is no object, and each empty object, with its dotted key."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, value


def differences(theirs: Any, ours: Any) -> Iterator[tuple[str, str | None]]:
    """(key, what is different, None for nothing) for every leaf of theirs."""
    mine = dict(leaves(ours))
    objects = {key.rpartition(".")[0] for key in mine}
    for key, value in leaves(theirs):
        if key in mine:
            there, here = form(value), form(mine[key])
            if there != here:
                yield key, f"{there} there, {here} here"
            elif WORDS.search(key) and value != mine[key]:
                yield key, f"{value!r} there, {mine[key]!r} here"
            else:
                yield key, None
        elif value == {} and key in objects:
            yield key, None  # more here
        else:
            yield key, f"missing here ({json.dumps(value)[:60]})"


def why_cloud(kind: str, key: str) -> str | None:
    return next((why for of, keys, why in CLOUD if fnmatch.fnmatch(kind, of) and fnmatch.fnmatch(key, keys)), None)


def why_on_purpose(kind: str, key: str, said: str) -> str | None:
    of_this = (one for one in ON_PURPOSE if fnmatch.fnmatch(kind, one[0]) and fnmatch.fnmatch(key, one[1]))
    return next((why for *_, how, why in of_this if how == said), None)


@dataclass
class Tally:
    """How one kind stands: counts, differences and where they were seen, exceptions with their reasons."""

    compared: int = 0
    keys: int = 0
    equal: int = 0
    different: dict[str, str] = field(default_factory=dict)
    cloud: dict[str, str] = field(default_factory=dict)
    on_purpose: dict[str, str] = field(default_factory=dict)
    exchanges: int = 0
    statuses: int = 0
    leaves: int = 0
    leaves_equal: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # recordings whose answer azure-ai-ml itself does not take
    versions: set[str] = field(default_factory=set)


def compare_local(recordings: list[recorded.Recording], tallies: dict[str, Tally]) -> None:
    """(keys): every resource of every recording, made in a workspace of its own."""
    for recording in recordings:
        for one, sent in recorded.resources(recording):
            place = one.place
            kind = recorded.kind_of(place, one.body)
            if place is None or kind is None or kind == " job":
                continue
            tally = tallies[kind]
            try:
                theirs = recorded.printed(place.collection, recorded.with_identity_of(place, one.body))
            except Exception as error:  # az ml, which prints what it makes of it, would fail as well
                tally.refused[recording.name] = " ".join(str(error).split())[:120]
                continue
            with tempfile.TemporaryDirectory() as folder:
                try:
                    ours = _made(Path(folder), place, [sent, one.body])
                except Absent as error:  # a kind of job that is not emulated
                    tally.refused[recording.name] = str(error)
                    continue
                except Exception as error:
                    tally.different[f"(not made: {recording.name})"] = f"{type(error).__name__}: {error}"[:300]
                    ours = {}
            tally.compared += 1
            tally.versions |= recording.api_versions
            for key, said in differences(theirs, ours):
                if said and (why := why_cloud(kind, key)):
                    tally.cloud[key] = why
                    continue
                if said and (why := why_on_purpose(kind, key, said)):
                    tally.on_purpose[key] = f"{said}: {why}"
                    continue
                tally.keys += 1
                tally.equal += said is None
                if said:
                    tally.different.setdefault(key, f"{said} [{recording.name}]")


def _made(folder: Path, place: recorded.Place, bodies: list[Any]) -> dict[str, Any]:
    """What is printed here; where a request is not whole (a trimmed one, an update) it is made from the answer."""
    first, *others = bodies
    try:
        return Scratch(folder / str(len(bodies))).show(place, first)
    except Exception:
        if not others:
            raise
        return _made(folder, place, others)


def percentage(part: float, whole: float) -> float:
    return round(100 * part / whole, 1) if whole else 100.0


def compare(folder: Path, local: bool = True, double: bool = True) -> tuple[dict[str, Tally], dict[str, float]]:
    recordings = list(recorded.read(folder))
    tallies: dict[str, Tally] = defaultdict(Tally)
    if local:
        compare_local(recordings, tallies)
    if double:
        from replay import compare_double

        compare_double(recordings, tallies)
    sums = {name: sum(getattr(each, name) for each in tallies.values()) for name in Tally.__dataclass_fields__
            if name not in ("different", "cloud", "on_purpose", "answers", "refused", "versions")}  # fmt: skip
    return dict(sorted(tallies.items())), {
        "keys": percentage(sums["equal"], sums["keys"]),
        "statuses": percentage(sums["statuses"], sums["exchanges"]),
        "leaves": percentage(sums["leaves_equal"], sums["leaves"]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", type=Path, help="write the page docs/parity.md here")
    parser.add_argument("--only", choices=("local", "double"), help="one of the two comparisons")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    tallies, sums = compare(arguments.folder, arguments.only != "double", arguments.only != "local")
    for kind, tally in tallies.items():
        print(f"\n{kind}: keys {tally.equal}/{tally.keys} of {tally.compared}; statuses {tally.statuses}/"
              f"{tally.exchanges}, leaves {tally.leaves_equal}/{tally.leaves}")  # fmt: skip
        for key, said in (*tally.different.items(), *tally.answers.items()):
            print(f"  {key}: {said}")
        for key, why in (*tally.cloud.items(), *tally.on_purpose.items(), *tally.refused.items()):
            print(f"  ({key}: {why})")
    if arguments.table:
        from parity_page import page
        from replay import LEFT_OUT, LEFT_OUT_OF_RUNS

        every = list(recorded.read(arguments.folder))
        arguments.table.write_text(page(tallies, sums, every, LEFT_OUT + LEFT_OUT_OF_RUNS), "utf-8")
    print(json.dumps(sums))
    return int(any(sums[name] < aim for name, aim in AIMS.items()))


if __name__ == "__main__":
    sys.exit(main())
