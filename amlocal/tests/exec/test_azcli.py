"""What `az` answers beside `az ml` under `aml exec`: each class of command, and the counted calls."""

import json
from pathlib import Path

import pytest

from amlocal.cli import az
from amlocal.client import LocalMLClient
from amlocal.exec.azcli import facts
from amlocal.exec.azcli.handlers import COMMANDS

COUNTED = Path(__file__).parents[2] / "conformance" / "az_calls.tsv"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs one az command; returns its exit code and what it printed, read as JSON where it is. `.error`: on stderr."""
    monkeypatch.setenv("AMLOCAL_HOME", str(tmp_path / ".amlocal"))
    monkeypatch.delenv("AML_TARGET", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def go(words, *more):
        code = az.main([*words.split(), *more])
        said = capsys.readouterr()
        go.error = said.err
        try:
            return code, json.loads(said.out)
        except ValueError:
            return code, said.out.strip()

    return go


@pytest.fixture
def ok(run):
    """The same for commands that must end well: what they printed."""

    def go(words, *more):
        code, told = run(words, *more)
        assert code == 0, run.error
        return told

    return go


# ---- the tables


def counted():
    lines = COUNTED.read_text("utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def test_the_counted_calls_are_a_table():
    rows = counted()
    assert len(rows) > 100
    assert all(len(row) == 4 and int(row[1]) >= int(row[2]) > 0 and row[3] for row in rows)


@pytest.mark.parametrize("command", [row[0] for row in counted()])
def test_no_counted_command_is_unanswered(run, command):
    """JSON or one line: what it is in Azure, what to do instead. Never a fault, never silence about a failure."""
    flags = facts.flags().get(command, ())
    required = [word for flag in flags if flag.required for word in (flag.names[0], "x")]
    code, told = run(command, *required)
    assert "fault in aml" not in run.error
    if command in COMMANDS:
        assert code in (0, 1, 2, 3)
        assert code == 0 or run.error.startswith("ERROR: "), run.error
    else:
        assert (code, told) == (1, "")
        assert f"ERROR: `az {' '.join(command.split()[:4])}` is not emulated here: it is about " in run.error
    assert len([line for line in run.error.splitlines() if line.startswith("ERROR")]) == (code != 0)


def test_every_command_of_the_table_has_a_handler():
    assert set(facts.flags()) == set(COMMANDS)


@pytest.mark.parametrize("noun", sorted({command.partition(" ")[0] for command in COMMANDS}))
def test_help_names_the_flags(run, noun):
    for command in (command for command in COMMANDS if command.partition(" ")[0] == noun):
        code, told = run(command, "--help")
        assert code == 0
        assert all(name in told for flag in facts.flags()[command] for name in flag.names if not flag.positional)


# ---- the command line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("group create -n g", "the following arguments are required: --location/-l"),
        ("group show -n", "argument --name: expected one argument"),
        ("identity show --nmae x", "unrecognized arguments: --nmae x"),
        ("role assignment create --role r --assignee a --scope", "argument --scope: expected one argument"),
        ("tag update --resource-id x --operation add --tags a=b", "expected one of"),
    ],
)
def test_a_wrong_command_line_ends_with_2(run, words, message):
    if words.startswith("tag"):
        run("group create -n g -l l")
        words, message = words.replace(" x ", f" {run('group show -n g')[1]['id']} "), "it is one of Merge"
    assert run(words)[0] == 2
    assert message in run.error


def test_what_is_not_there_ends_with_3(run):
    assert run("identity show -n nobody -g g") == (3, "")
    assert (
        "Microsoft.ManagedIdentity/userAssignedIdentities/nobody' under resource group 'g' was not found" in run.error
    )


@pytest.mark.parametrize(
    ("words", "meant"),
    [("storage acount show -n x", "storage account show"), ("grup list", "group list")],
)
def test_a_misspelled_command_is_named(run, words, meant):
    assert run(words)[0] == 1
    assert f"did you mean `az {meant}`?" in run.error


def test_output_is_azs(ok):
    ok("group create --name rg -l westeurope")
    assert ok("group list --query [0].name -o tsv") == "rg"
    assert ok("group list -o none") == ""
    table = ok("group list -o table").splitlines()
    assert [table[0].split(), table[2].split()] == [["Name", "Location", "Status"], ["rg", "westeurope", "Succeeded"]]


def test_notes_are_left_out_on_request(run, monkeypatch):
    monkeypatch.setattr("sys.argv", ["az", "--only-show-errors"])
    run("identity create -n i --only-show-errors")
    assert run.error == ""


# ---- groups


def test_a_group_lives_from_create_to_delete(ok, run):
    assert [group["name"] for group in ok("group list")] == ["local"]
    made = ok("group create --name rg-one -l westeurope --tags a=b c")
    assert made["tags"] == {"a": "b", "c": ""}
    assert made["properties"] == {"provisioningState": "Succeeded"}
    ok("group create --name other -l mars")
    assert ok("group show --name RG-one") == made
    assert [group["name"] for group in ok("group list")] == ["rg-one", "other"]
    assert [group["name"] for group in ok("group list --tag a=b")] == ["rg-one"]
    assert ok("group create --name rg-one -l westeurope")["tags"] == made["tags"]
    assert run("group create --name rg-one -l mars")[0] == 1
    ok("identity create -n i -g rg-one")
    ok("group delete --name rg-one --yes")
    assert ok("group exists -n rg-one") is False
    assert run("group show -n rg-one")[0] == 3
    assert run("identity show -n i -g rg-one")[0] == 3
    assert [group["name"] for group in ok("group list")] == ["other"]


def test_a_group_that_nobody_created_here_is_taken_to_exist(ok):
    assert ok("group exists -n theirs") is True
    assert ok("group show -n theirs")["name"] == "theirs"


def test_the_configured_group_is_the_default(ok):
    ok("configure --defaults group=mine location=mars workspace=w")
    assert ok("group show")["name"] == "mine"
    assert [group["name"] for group in ok("group list")] == ["mine"]
    made = ok("identity create -n i")
    assert (made["resourceGroup"], made["location"]) == ("mine", "mars")
    assert ok("config get defaults.workspace")["value"] == "w"
    ok("config unset defaults.group")
    assert ok("group show")["name"] == "local"


def test_tags_of_a_group(ok):
    id = ok("group create -n g -l l --tags a=1")["id"]
    assert ok(f"tag update --resource-id {id} --operation Merge --tags b=2")["properties"]["tags"] == {
        "a": "1",
        "b": "2",
    }
    ok(f"tag update --resource-id {id} --operation delete --tags a=1")
    assert ok(f"tag list --resource-id {id}")["properties"]["tags"] == {"b": "2"}
    assert ok("group show -n g --query tags") == {"b": "2"}


# ---- resources


@pytest.mark.parametrize(
    ("noun", "name", "query"),
    [
        ("identity", "-n", "principalId"),
        ("storage account", "-n", "primaryEndpoints.blob"),
        ("keyvault", "-n", "properties.vaultUri"),
        ("acr", "-n", "loginServer"),
        ("monitor app-insights component", "--app", "instrumentationKey"),
        ("monitor log-analytics workspace", "-n", "customerId"),
    ],
)
def test_a_resource_lives_from_create_to_delete(ok, run, noun, name, query):
    sku = " --sku Basic" if noun == "acr" else " -l westeurope" if "insights" in noun else ""
    made = ok(f"{noun} create {name} thing -g g --tags a=b{sku}")
    assert (made["name"], made["resourceGroup"], made["tags"]) == ("thing", "g", {"a": "b"})
    assert ok(f"{noun} show {name} thing -g g") == made
    assert ok(f"{noun} show {name} thing -g g --query {query}")
    assert ok(f"resource show --ids {made['id']}")["name"] == "thing"
    assert made["id"] in [each["id"] for each in ok("resource list -g g")]
    if f"{noun} list" in COMMANDS:
        assert made in ok(f"{noun} list -g g")
        assert made not in ok(f"{noun} list -g elsewhere")
    ok(f"{noun} delete {name} thing -g g")
    assert run(f"{noun} show {name} thing -g g")[0] == 3


def test_what_was_asked_for_is_shown(ok):
    made = ok(
        "storage account create -n st -g g --sku Premium_LRS --kind FileStorage --enable-hierarchical-namespace true"
    )
    assert (made["sku"], made["kind"], made["isHnsEnabled"]) == (
        {"name": "Premium_LRS", "tier": "Premium"},
        "FileStorage",
        True,
    )
    assert ok("storage account check-name --name st")["nameAvailable"] is False
    assert ok("storage account check-name --name free")["nameAvailable"] is True


def test_the_workspace_has_what_it_stands_on(ok, run):
    told = ok("ml workspace show")
    for key in ("storage_account", "container_registry", "key_vault", "application_insights"):
        assert ok(f"resource show --ids {told[key]}")["id"] == told[key]
    ok(f"role assignment create --assignee a --role AcrPull --scope {told['container_registry']}")
    kinds = {each["type"] for each in ok("resource list -g anything")}
    assert {"Microsoft.MachineLearningServices/workspaces", "Microsoft.Storage/storageAccounts"} <= kinds
    ok("storage account delete -n local --yes")
    assert "belongs to the workspace and stays" in run.error


def test_autoscale_is_a_record_that_scales_nothing(ok, run):
    ok("monitor autoscale create -n as -g g --resource x --count 2 --min-count 1")
    assert ok("monitor autoscale list -g g --query [].name") == ["as"]
    ok("monitor autoscale rule create --autoscale-name as -g g --scale out 2 --condition", "CpuPercentage > 70 avg 5m")
    assert "scales nothing" in run.error
    ok("monitor autoscale delete -n as -g g")
    assert run("monitor autoscale show -n as -g g")[0] == 3


def test_rest_reads_groups_and_resources(ok, run):
    at = "https://management.azure.com/subscriptions/s"
    ok("group create -n g -l l")
    made = ok("storage account create -n st -g g")
    assert ok(f"rest --method get --url {at}/resourcegroups/g?api-version=2021-04-01")["name"] == "g"
    assert ok(f"rest --url {at}/resourcegroups?api-version=1 --query value[].name") == ["g"]
    told = ok(f"rest --url https://management.azure.com{made['id']}?api-version=1")
    assert told["properties"]["provisioningState"] == "Succeeded"
    place = f"{at}/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
    for words, remedy in (
        (f"--url {place}/onlineEndpoints/e/deployments?api-version=1", "az ml online-deployment show"),
        (f"--method put --url {place}/jobs/j?api-version=1", "az ml job create"),
        ("--method post --url https://graph.microsoft.com/v1.0/invitations", "only GET"),
    ):
        assert run(f"rest {words}")[0] == 1
        assert remedy in run.error


# ---- roles, the directory, secrets


def test_an_identity_gets_a_role(ok):
    principal = ok("identity create -n uai -g g --query principalId")
    assert ok("identity list --query [?name=='uai'].principalId|[0]") == principal
    scope = ok("group show -n g --query id")
    ok(f"role assignment create --assignee-object-id {principal} --role Contributor --scope {scope}")
    ok(f"role assignment create --assignee {principal} --role Contributor --scope {scope}")
    for flag in ("--assignee", "--assignee-object-id"):
        assert ok(f"role assignment list {flag} {principal} --query [].roleDefinitionName") == ["Contributor"]
        assert ok(f"role assignment list {flag} other") == []
    ok(f"role assignment delete --assignee-object-id {principal}")
    assert ok("role assignment list --all") == []


def test_a_service_principal_signs_in(ok):
    made = ok("ad sp create-for-rbac --name deployer --role contributor --scopes /subscriptions/s --json-auth")
    assert set(made) >= {"clientId", "clientSecret", "subscriptionId", "tenantId"}
    id = ok("ad sp list --display-name deployer --query [0].id")
    assert ok(f"ad sp show --id {made['clientId']}")["id"] == id
    assert ok(f"role assignment list --assignee {id} --query [].roleDefinitionName") == ["contributor"]
    assert (
        ok(f"login --service-principal -u {made['clientId']} -p {made['clientSecret']} --tenant t")[0]["state"]
        == "Enabled"
    )


def test_an_application_with_a_federated_credential(ok, run):
    id = ok("ad app create --display-name github --query appId")
    assert run(f"ad sp show --id {id}")[0] == 3
    assert ok(f"ad sp create --id {id}")["appId"] == id
    told = json.dumps({"name": "main", "issuer": "https://token", "subject": "repo:a/b:ref"})
    assert ok(f"ad app federated-credential create --id {id} --parameters", told)["subject"] == "repo:a/b:ref"
    assert run(f"ad app federated-credential create --id {id} --parameters", "{}")[0] == 1
    assert "name is missing" in run.error


def test_a_group_of_the_directory_has_members(ok):
    id = ok("ad group create --display-name team --mail-nickname team --query id")
    ok(f"ad group member add --group team --member-id {id}")
    assert ok(f"ad group member check --group {id} --member-id {id} --query value") is True
    assert ok("ad group show --group team --query id") == id
    ok("ad group delete --group team")
    assert ok("ad group list") == []


def test_a_secret_is_read_back(ok, run, tmp_path):
    assert run("keyvault secret set --vault-name kv -n multiplier --value 7")[0] == 3
    ok("keyvault create -n kv -g g --enable-rbac-authorization false")
    ok("keyvault secret set --vault-name kv -n multiplier --value 7")
    assert ok("keyvault secret show --vault-name kv -n multiplier --query value") == "7"
    assert all("value" not in each for each in ok("keyvault secret list --vault-name kv"))
    assert (tmp_path / ".amlocal" / "az-records.json").stat().st_mode & 0o077 == 0
    ok("keyvault delete -n kv -g g")
    ok("keyvault create -n kv -g g")
    assert run("keyvault secret show --vault-name kv -n multiplier")[0] == 3


# ---- storage


def test_blobs_go_up_and_down(ok, run, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.csv", "b.csv", "c.txt"):
        (tmp_path / "in" / name).write_text(name)
    ok("storage account create -n st -g g")
    assert run("storage blob upload --account-name st -c data -f in/a.csv")[0] == 3
    assert "ContainerNotFound" in run.error
    assert ok("storage container create --account-name st -n data") == {"created": True}
    assert ok("storage container create --account-name st -n data") == {"created": False}
    ok("storage blob upload --account-name st -c data -f in/a.csv -n deep/er/a.csv")
    assert run("storage blob upload --account-name st -c data -f in/b.csv -n deep/er/a.csv")[0] == 1
    assert "please add --overwrite" in run.error
    ok("storage blob upload --account-name st -c data -f in/b.csv -n deep/er/a.csv --overwrite true")
    told = ok("storage blob upload-batch --account-name st -d data/all -s in --pattern *.csv")
    assert [each["Blob"].rpartition("/")[2] for each in told] == ["a.csv", "b.csv"]
    assert ok("storage blob list --account-name st -c data --query [].name") == [
        "all/a.csv",
        "all/b.csv",
        "deep/er/a.csv",
    ]
    assert ok("storage blob list --account-name st -c data --prefix deep --query [].properties.contentLength") == [5]
    (tmp_path / "out").mkdir()
    ok("storage blob download --account-name st -c data -n deep/er/a.csv -f out/one.csv")
    assert (tmp_path / "out" / "one.csv").read_text() == "b.csv"
    assert ok("storage blob download-batch --account-name st -s data -d out --pattern all/*") == [
        "all/a.csv",
        "all/b.csv",
    ]
    assert (tmp_path / "out" / "all" / "b.csv").read_text() == "b.csv"
    ok("storage blob delete --account-name st -c data -n all/a.csv")
    assert ok("storage blob exists --account-name st -c data -n all/a.csv") == {"exists": False}
    assert run("storage blob show --account-name st -c data -n all/a.csv")[0] == 3
    assert ok("storage container delete --account-name st -n data") == {"deleted": True}
    assert run("storage blob list --account-name st -c data")[0] == 3


@pytest.mark.parametrize("flags", ["", "--connection-string AccountName=st;AccountKey=x", "--account-name st"])
def test_the_account_is_named_in_one_of_three_ways(ok, run, monkeypatch, flags):
    if not flags:
        assert run("storage container list")[0] == 1
        assert "AZURE_STORAGE_ACCOUNT" in run.error
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "st")
    ok(f"storage container create -n data {flags}")
    assert ok("storage container list --account-name st --query [].name") == ["data"]


@pytest.mark.parametrize("name", ["../../escape", "/etc/passwd"])
def test_a_blob_stays_in_its_container(run, tmp_path, name):
    (tmp_path / "a").write_text("x")
    run("storage container create -n data --account-name st")
    assert run(f"storage blob upload --account-name st -c data -f a -n {name} --overwrite")[0] == 1
    assert "leads out of" in run.error


def test_a_job_reads_what_a_script_uploaded(ok, tmp_path):
    """To the workspace's own container, and to one that a datastore names later, or named before."""
    (tmp_path / "a.csv").write_text("1,2")
    client = LocalMLClient()
    told = ok("ml datastore show -n workspaceblobstore")
    assert told["container_name"].startswith("azureml-blobstore-")  # scripts look for that
    assert told["container_name"] in ok(f"storage container list --account-name {told['account_name']} --query [].name")
    where = f"--account-name {told['account_name']} -c {told['container_name']}"
    ok(f"storage blob upload -f a.csv -n example/a.csv {where}")
    root = client.workspace.root / "datastores"
    assert (root / "workspaceblobstore" / "example" / "a.csv").read_text() == "1,2"

    ok("storage account create -n st -g g")
    ok("storage container create -n training --account-name st")
    ok("storage blob upload -f a.csv -n before.csv --account-name st -c training")
    (tmp_path / "store.yml").write_text("{name: mine, type: azure_blob, account_name: st, container_name: training}")
    ok("ml datastore create -f store.yml")
    ok("storage blob upload -f a.csv -n after.csv --account-name st -c training")
    assert sorted(path.name for path in (root / "mine").iterdir()) == ["after.csv", "before.csv"]
    assert ok("storage blob list --account-name st -c training --query [].name") == ["after.csv", "before.csv"]


def test_file_systems_are_containers(ok, tmp_path):
    (tmp_path / "t.csv").write_text("x")
    ok("storage account create -n gen2 -g g --hns")
    ok("storage fs create -n lake --account-name gen2")
    ok("storage fs file upload -f lake -s t.csv -p data/t.csv --account-name gen2")
    assert ok("storage fs file list -f lake --account-name gen2 --query [].name") == ["data/t.csv"]
    assert ok("storage blob exists -c lake -n data/t.csv --account-name gen2") == {"exists": True}


# ---- deployments


def test_a_deployment_is_read_back(ok, run, tmp_path):
    assert run("deployment group create -g g --template-file main.bicep")[0] == 1
    (tmp_path / "main.bicep").write_text("param a string\n")
    made = ok("deployment group create -g g --template-file main.bicep --parameters a=b")
    assert ok("deployment group show -g g -n main") == made
    assert [each["name"] for each in ok("deployment group list -g g")] == ["main"]
    assert run("deployment group show -g g -n other")[0] == 3
    assert ok("deployment sub list") == []


def test_identities_of_a_compute_target_and_an_endpoint_have_principals(ok, tmp_path):
    """A script gives roles to them."""
    ok("ml compute create -n cpu --type amlcompute")
    assert ok("ml compute show -n cpu --query identity") == ""
    ok("ml compute update -n cpu --identity-type system_assigned")
    ok("ml compute update -n cpu --max-instances 2")
    told = ok("ml compute show -n cpu --query identity")
    assert told["type"] == "system_assigned"
    ok(f"role assignment create --assignee-object-id {told['principal_id']} --role AcrPull --scope s")
    ok("ml compute create -n mine --type amlcompute --identity-type user_assigned -i /subscriptions/a/b")
    assert (
        ok("ml compute show -n mine --query identity.user_assigned_identities[0].resource_id") == "/subscriptions/a/b"
    )
    ok("ml online-endpoint create -n asked")
    ok("ml online-endpoint update -n asked --set tags.a=b")
    assert ok("ml online-endpoint show -n asked --query identity.principal_id") not in ("", told["principal_id"])
    ok("ml online-endpoint delete -n asked --yes")


def test_the_flags_of_an_identity_go_together(run):
    assert run("ml compute create -n c --type amlcompute --identity-type user_assigned")[0] == 1
    assert "--user-assigned-identities go together" in run.error
