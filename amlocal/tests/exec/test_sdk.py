"""`aml exec -- python`: a program written for azure-ai-ml and azure-identity finds both answered from here."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from amlocal.cli.nouns.exec import PYTHON, STAND_IN, surroundings

HEAVY = "{'azure', 'azure.ai.ml', 'azure.identity', 'amlocal', 'amlocal.client', 'pathlib'}"


@pytest.fixture
def run(tmp_path):
    """Runs a Python program under `aml exec`; returns the finished process."""
    environment = os.environ | {"AMLOCAL_HOME": str(tmp_path / ".amlocal")}
    environment.pop("AML_TARGET", None)
    environment.pop("PYTHONPATH", None)

    def go(program, *, target="local", python=sys.executable, env=None):
        (tmp_path / "program.py").write_text(textwrap.dedent(program))
        command = [sys.executable, "-m", "amlocal", "exec", "--target", target, "--", python, "program.py"]
        return subprocess.run(
            command, env=environment | (env or {}), cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return go


def test_mlclient_is_the_local_one(run, tmp_path):
    ran = run(
        """
        from azure.ai.ml import MLClient, command
        from azure.ai.ml.entities import Environment
        from azure.identity import DefaultAzureCredential
        import azure.ai.ml

        clients = [
            MLClient.from_config(credential=DefaultAzureCredential()),
            MLClient(DefaultAzureCredential(), "<SUBSCRIPTION_ID>", "<RESOURCE_GROUP>", "<AML_WORKSPACE_NAME>"),
            azure.ai.ml.MLClient(credential=DefaultAzureCredential()),
        ]
        assert all(isinstance(client, MLClient) for client in clients)
        environment = clients[0].environments.create_or_update(Environment(name="e", image="a"))
        print(clients[1].environments.get("e", label="latest").version)
        """
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "1\n"
    assert ran.stderr == ""
    assert (tmp_path / ".amlocal").is_dir()


def test_every_credential_answers_without_asking_anybody(run):
    ran = run(
        """
        import asyncio, socket
        import azure.identity, azure.identity.aio

        def refuse(*_):
            raise AssertionError("it asks somebody")

        socket.socket.connect = refuse
        for name in azure.identity.__all__:
            if name.endswith("Credential"):
                original = getattr(azure.identity, name)
                credential = original("whatever", tenant_id="t")
                assert isinstance(credential, original)
                assert credential.get_token("https://management.azure.com/.default").token == "local"
                assert credential.get_token_info("https://ml.azure.com/.default").token == "local"
        with azure.identity.AzureCliCredential() as credential:
            print(azure.identity.get_bearer_token_provider(credential, "scope")())

        async def ask():
            async with azure.identity.aio.DefaultAzureCredential() as credential:
                return (await credential.get_token("scope")).token

        print(asyncio.run(ask()))
        """
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "local\nlocal\n"


def test_with_target_azure_nothing_is_changed(run):
    ran = run(
        """
        import azure.ai.ml, azure.identity, os
        print(azure.ai.ml.MLClient.__module__, azure.identity.DefaultAzureCredential.__bases__[0].__name__)
        print(repr(os.environ.get("PYTHONPATH", "")))
        """,
        target="azure",
    )
    assert ran.stdout == "azure.ai.ml._ml_client ChainedTokenCredential\n''\n"


def test_who_imports_neither_pays_nothing(run):
    ran = run(f"import sys; print({HEAVY} & set(sys.modules)); print('sitecustomize' in sys.modules)")
    assert ran.stdout == "set()\nTrue\n"
    best = min(_microseconds_of_the_stand_in() for _ in range(5))
    assert best < 5_000


def _microseconds_of_the_stand_in():
    command = [sys.executable, "-X", "importtime", "-c", "pass"]
    ran = subprocess.run(command, env=surroundings(dict(os.environ)), capture_output=True, text=True, check=True)
    [line] = [line for line in ran.stderr.splitlines() if line.endswith("sitecustomize")]
    return int(line.split("|")[1])


def test_a_sitecustomize_that_was_there_still_runs(run, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("import sys; sys.theirs = __file__")
    ran = run(
        """
        import sys
        import sitecustomize
        from azure.ai.ml import MLClient
        print(sys.theirs == sitecustomize.__file__, MLClient.__name__)
        """,
        env={"PYTHONPATH": str(tmp_path / "own")},
    )
    assert ran.stdout == "True LocalMLClient\n", ran.stderr


def test_another_python_is_told_and_left_alone(run, tmp_path):
    packages = tmp_path / "packages" / "azure" / "ai" / "ml"
    packages.mkdir(parents=True)
    (packages / "__init__.py").write_text("class MLClient: pass\n")
    folders = "; ".join(f"sys.path.insert(0, {str(path)!r})" for path in [packages.parents[2]])
    ran = run(
        f"""
        import sys
        sys.path[:] = [path for path in sys.path if "site-packages" not in path and "src" not in path]
        sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
        {folders}
        from azure.ai.ml import MLClient
        print(MLClient.__module__)
        """
    )
    assert ran.stdout == "azure.ai.ml\n", ran.stderr
    assert "azure.ai.ml is Azure's own in this Python" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_the_command_aml_inside_speaks_to_whom_it_is_told(run):
    ran = run(
        """
        import subprocess, sys
        script = "import amlocal.cli; from azure.ai.ml import MLClient; print(MLClient.__module__)"
        subprocess.run([sys.executable, "-c", script], check=True)
        """
    )
    assert ran.stdout == "azure.ai.ml._ml_client\n", ran.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE")
def test_a_pipeline_ends_with_its_last_command(tmp_path):
    """Python ignores SIGPIPE; what `aml exec` becomes must not, or `cat /dev/urandom | ... | head -n 1` never ends."""
    script = "sh -c 'kill -s PIPE $$; echo lives on'; exit $?"
    command = [sys.executable, "-m", "amlocal", "exec", "--", "bash", "-c", script]
    environment = os.environ | {"AMLOCAL_HOME": str(tmp_path / ".amlocal")}
    ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "lives on" not in ran.stdout
    assert ran.returncode == 128 + signal.SIGPIPE


def test_mlflow_deploys_to_the_workspace(run):
    ran = run(
        """
        import json
        from pathlib import Path
        import mlflow, pandas
        from mlflow.deployments import get_deploy_client
        from azure.ai.ml import MLClient

        class Counts(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None): return [len(model_input)] * len(model_input)

        mlflow.pyfunc.save_model("model", python_model=Counts(), pip_requirements=["mlflow"])
        version = mlflow.MlflowClient().create_model_version("counts", "file://model").version
        client = MLClient()
        target = get_deploy_client(client.workspaces.get(client.workspace_name).mlflow_tracking_uri)
        Path("of.json").write_text(json.dumps({"instance_type": "Standard_DS3_v2", "instance_count": 1}))
        Path("all.yml").write_text("traffic: {blue: 100}")
        of, table = {"deploy-config-file": "of.json"}, pandas.DataFrame({"a": [1, 2]})
        try:
            target.get_endpoint("counting")
        except Exception as error:
            print(type(error).__name__)
        made = target.create_endpoint("counting")
        print(made["properties"]["scoringUri"] == client.online_endpoints.get("counting").scoring_uri)
        made = target.create_deployment("blue", f"models:/counts/{version}", config=of, endpoint="counting")
        print(made["name"], made["flavor"], made["properties"]["instanceType"])
        print(target.update_endpoint("counting", {"endpoint-config-file": "all.yml"})["properties"]["traffic"])
        print(target.predict(endpoint="counting", df=table).values.tolist())
        print(target.predict("blue", table, endpoint="counting").values.tolist())
        print([each["name"] for each in target.list_deployments("counting")])
        print(target.list_deployments()[0]["endpointName"])
        Path("of.json").write_text(json.dumps({"model": "azureml:counts:1"}))
        try:
            target.update_deployment("blue", config=of, endpoint="counting")
        except mlflow.MlflowException as error:
            print(error)
        target.delete_deployment("counting")  # no deployment is called so
        target.delete_deployment("blue", endpoint="counting")
        print(target.list_deployments("counting"), [each["name"] for each in target.list_endpoints()])
        target.delete_endpoint("counting")
        target.delete_endpoint("counting")
        print(target.list_endpoints())
        """
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "ResourceNotFoundError",
        "True",
        "blue python_function Standard_DS3_v2",
        "{'blue': 100}",
        "[[2], [2]]",
        "[[2], [2]]",
        "['blue']",
        "counting",
        "model: not used with MLflow deployments; remove it from the file",
        "[] ['counting']",
        "[]",
    ]


@pytest.mark.skipif(os.name == "nt", reason="a shell's script")
@pytest.mark.parametrize("name", ["python", "python3"])
def test_a_program_with_a_pythonpath_of_its_own_is_reached(tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "said.py").write_text("import os\ntold = os.environ.get('PYTHONPATH')")
    program = "import sys, said; print(sys.argv[1:], said.told, sys.meta_path[0])"
    script = f'export PYTHONPATH=mine; {name} -c "$1" "a b" && {name} -c "$1"; echo $?; PATH= && {name}'
    environment = os.environ | {"AMLOCAL_HOME": str(tmp_path / ".amlocal")}
    said = {}
    for target in ("local", "azure"):
        words = ["bash", "-c", script, "-", program]
        command = [sys.executable, "-m", "amlocal", "exec", "--target", target, "--", *words]
        ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        said[target] = ran.stdout.splitlines()
    assert said["local"] == [
        f"['a b'] {PYTHON}:mine <class 'sitecustomize.Finder'>",
        f"[] {PYTHON}:mine <class 'sitecustomize.Finder'>",
        "0",
    ]
    assert said["azure"][0].startswith("['a b'] mine ")


@pytest.mark.skipif(os.name == "nt", reason="a shell's script")
def test_both_pythons_are_the_same_script():
    assert (STAND_IN / "python").read_bytes() == (STAND_IN / "python3").read_bytes()


def test_the_stand_ins_are_there_once():
    twice = surroundings(surroundings({"PATH": "/usr/bin", "PYTHONPATH": f"mine{os.pathsep}yours"}))
    assert twice["PYTHONPATH"].split(os.pathsep) == [str(PYTHON), "mine", "yours"]
    assert twice["PATH"].split(os.pathsep) == [str(STAND_IN), "/usr/bin"]


def test_a_notebook_runs(tmp_path):
    import nbformat

    cells = [
        "from azure.ai.ml import MLClient\nfrom azure.identity import DefaultAzureCredential",
        "client = MLClient.from_config(credential=DefaultAzureCredential())\nclient",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "n.ipynb")
    command = [sys.executable, "-m", "amlocal", "exec", "--", sys.executable, "-m", "jupyter", "execute"]
    ran = subprocess.run(
        [*command, "--kernel_name=python3", "--inplace", "n.ipynb"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    [output] = nbformat.read(tmp_path / "n.ipynb", 4).cells[1].outputs
    assert output["data"]["text/plain"] == f"LocalMLClient(workspace='{tmp_path / '.amlocal'}')"


def test_mlflow_logs_to_the_workspace_whatever_azure_address_it_is_given(run, tmp_path):
    ran = run(
        """
        import os, subprocess, sys
        import mlflow
        from azure.ai.ml import MLClient
        from azure.identity import DefaultAzureCredential

        with mlflow.start_run() as first:
            mlflow.log_text("hello", "said.txt")
        print(mlflow.get_experiment(first.info.experiment_id).name)
        AZURE = "azureml://eastus.api.azureml.ms/mlflow/v1.0/subscriptions/s/resourceGroups/g/workspaces/w"
        mlflow.set_tracking_uri(AZURE)
        mlflow.set_experiment("wine")
        mlflow.log_metric("accuracy", 1)
        mlflow.end_run()
        print(mlflow.get_run(first.info.run_id).info.status, mlflow.MlflowClient().search_registered_models())
        client = MLClient(DefaultAzureCredential(), "s", "g", "w")
        mlflow.set_tracking_uri(client.workspaces.get("w").mlflow_tracking_uri)
        print(len(mlflow.search_runs(search_all_experiments=True)), flush=True)  # before the next process prints
        os.environ["MLFLOW_TRACKING_URI"] = AZURE
        count = "import mlflow; print(len(mlflow.search_runs(search_all_experiments=True)))"
        subprocess.run([sys.executable, "-c", count], check=True)
        """
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "Default\nFINISHED []\n2\n2\n"
    made = {path.name for path in tmp_path.iterdir()}
    assert made <= {".amlocal", "program.py", "__pycache__"}
    assert list((tmp_path / ".amlocal" / "artifacts").rglob("said.txt"))


def test_mlflow_registers_a_folder_as_on_azure(run, tmp_path):
    ran = run(
        """
        import shutil
        from pathlib import Path
        import mlflow

        Path("model").mkdir()
        Path("model", "MLmodel").write_text("flavors: {python_function: {loader_module: x}}")
        client = mlflow.MlflowClient()
        print(client.create_model_version(name="heart", source="file://model").version)
        print(client.create_model_version("heart", Path("model").resolve().as_uri()).version)
        shutil.rmtree("model")
        print(Path(mlflow.artifacts.download_artifacts("models:/heart/1"), "MLmodel").is_file())
        with mlflow.start_run():
            mlflow.log_text("x", "mine/MLmodel")
            source = mlflow.get_artifact_uri("mine")
        print(client.create_model_version("heart", source).source == source)
        for source in ("file://model", "file:///nowhere"):
            try:
                client.create_model_version("other", source)
            except ValueError as error:
                print(error)
        print([each.name for each in client.search_registered_models()])
        """
    )
    assert ran.returncode == 0, ran.stderr
    words = (
        "Model source must be a directory containing an mlflow MLmodel, as is produced by an mlflow save_model function"
    )
    assert ran.stdout.splitlines() == [
        "1",
        "2",
        "True",
        "True",
        f"{words}: file://model",
        f"{words}: file:///nowhere",
        "['heart']",
    ]


def test_the_users_own_mlflow_server_stays(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert surroundings(dict(os.environ))["MLFLOW_TRACKING_URI"] == "http://tracking:5000"


def test_an_mlflow_without_amlocal_gets_a_server(run, tmp_path):
    """Its version may be another, which must not open the database."""
    package = tmp_path / "mlflow" / "tracking"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "registry.py").touch()
    ran = run(
        """
        import os, sys
        sys.modules["amlocal"] = None  # as where it is not installed
        import mlflow.tracking.registry
        import urllib.request
        address = os.environ["MLFLOW_TRACKING_URI"]
        print(address.rpartition(":")[0], urllib.request.urlopen(address + "/health").status)
        """
    )
    assert ran.stdout == "http://127.0.0.1 200\n", ran.stderr
