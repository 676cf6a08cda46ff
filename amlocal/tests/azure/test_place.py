"""Which workspace in Azure a command is about, and whom it asks: flags, environment, az's own files, config.json."""

import json
from pathlib import Path

import pytest

from amlocal.azure.place import Place, find
from amlocal.cli import main, target
from amlocal.core.errors import UserError

NOTHING = Place()


@pytest.fixture
def az(tmp_path: Path) -> dict[str, str]:
    """An environment in which az has no settings."""
    (tmp_path / "az").mkdir()
    return {"AZURE_CONFIG_DIR": str(tmp_path / "az")}


def signed_in(az: dict[str, str], subscription: str = "sub-of-az") -> None:
    profile = {"subscriptions": [{"id": "another", "isDefault": False}, {"id": subscription, "isDefault": True}]}
    Path(az["AZURE_CONFIG_DIR"], "azureProfile.json").write_text(json.dumps(profile), encoding="utf-8-sig")


def defaults(az: dict[str, str], text: str) -> None:
    Path(az["AZURE_CONFIG_DIR"], "config").write_text(f"[defaults]\n{text}\n")


def downloaded(folder: Path, **more: str) -> None:
    """The file that the studio offers."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"subscription_id": "sub-of-file", "resource_group": "group-of-file", "workspace_name": "ws-of-file"}
    (folder / "config.json").write_text(json.dumps(content | more))


def test_az_s_defaults_and_its_current_subscription(az: dict[str, str], tmp_path: Path) -> None:
    signed_in(az)
    defaults(az, "group = g\nworkspace = w")
    assert find(NOTHING, az, tmp_path) == Place("sub-of-az", "g", "w")


def test_the_environment_goes_before_az_s_defaults_and_flags_before_both(az: dict[str, str], tmp_path: Path) -> None:
    signed_in(az)
    defaults(az, "group = g\nworkspace = w")
    environment = az | {"AZURE_DEFAULTS_GROUP": "eg", "AZURE_DEFAULTS_WORKSPACE": "ew", "AZURE_SUBSCRIPTION_ID": "es"}
    assert find(NOTHING, environment, tmp_path) == Place("es", "eg", "ew")
    assert find(Place(workspace="fw"), environment, tmp_path) == Place("es", "eg", "fw")


@pytest.mark.parametrize("place", [".", ".azureml"])
def test_a_config_json_is_found_above_and_taken_whole(az: dict[str, str], tmp_path: Path, place: str) -> None:
    signed_in(az)
    defaults(az, "group = g")  # without a workspace: not the file's workspace in this group
    downloaded(tmp_path / "repository" / place)
    inside = tmp_path / "repository" / "src"
    inside.mkdir()
    assert find(NOTHING, az, inside) == Place("sub-of-file", "group-of-file", "ws-of-file")


def test_a_config_json_of_something_else_is_none(az: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('["nothing", "of", "ours"]')
    signed_in(az)
    with pytest.raises(UserError, match="no resource group: give --resource-group"):
        find(NOTHING, az, tmp_path)


def test_what_is_missing_is_named(az: dict[str, str], tmp_path: Path) -> None:
    defaults(az, "group = g")
    with pytest.raises(UserError, match="no subscription: give --subscription, or `az login`"):
        find(NOTHING, az, tmp_path)
    signed_in(az)
    with pytest.raises(UserError, match=r"no workspace: give --workspace-name, or `az configure"):
        find(NOTHING, az, tmp_path)


def test_broken_files_are_named(az: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: not JSON"):
        find(NOTHING, az, tmp_path)
    downloaded(tmp_path, resource_group="")
    with pytest.raises(UserError, match=r"config\.json: subscription_id and resource_group are required"):
        find(NOTHING, az, tmp_path)
    Path(az["AZURE_CONFIG_DIR"], "config").write_text("no section")
    with pytest.raises(UserError, match="config: File contains no section headers"):
        find(NOTHING, az, tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "--target azure job list",
        "job list --target azure",
        "--target=azure job list",
        "--debug -o table --target azure job show -n x",  # one whose function is given the command itself
    ],
)
def test_the_target_may_stand_before_the_noun_or_behind(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], az: dict[str, str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AZURE_DEFAULTS_GROUP", "AZURE_DEFAULTS_WORKSPACE", "AZURE_SUBSCRIPTION_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_CONFIG_DIR", az["AZURE_CONFIG_DIR"])
    assert main(line.split()) == 1
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .startswith("ERROR: no subscription: give --subscription, or `az login`")
    )


def test_the_variable_chooses_and_a_flag_wins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("AMLOCAL_HOME", str(tmp_path / "w"))
    monkeypatch.setenv(target.VARIABLE, "azure")
    assert main(["up"]) == 1
    assert "`aml up` is about the workspace of this folder" in capsys.readouterr().err
    assert main(["job", "list", "--target", "local"]) == 0
    assert "No job was submitted to" in capsys.readouterr().err
    monkeypatch.setenv(target.VARIABLE, "mars")
    assert main(["job", "list"]) == 1
    assert capsys.readouterr().err == "ERROR: AML_TARGET=mars: no such target; it is one of local, azure, auto\n"


def test_what_would_be_ignored_is_refused_in_azure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["online-endpoint", "show", "-n", "digits", "--local", "--target", "azure"]) == 1
    assert capsys.readouterr().err.startswith("ERROR: --local: `aml --target azure` cannot hand it on")
