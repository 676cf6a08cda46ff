"""Environments: what a spec asks for, and the Python that a job gets for it. Packages come from a folder of wheels."""

import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from amlocal import environments
from amlocal.assets.store import Assets
from amlocal.core.errors import UserError
from amlocal.core.workspace import Workspace
from amlocal.environments import build, curated, installer
from amlocal.environments.dockerfile import of_build_context
from amlocal.environments.satisfied import unsatisfied
from amlocal.environments.wanted import of_conda_file


def wheel(
    folder: Path, name: str, version: str, tag: str = "py3-none-any", requires: Iterable[str] = (), python: str = ">=3"
) -> None:
    """A wheel with one module that knows its version; python: for which it is."""
    about = "".join(
        [
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}\n",
            *(f"Requires-Dist: {each}\n" for each in requires),
        ]
    )
    info = f"{name}-{version}.dist-info"
    name = name.replace("-", "_")
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": about,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


def source(folder: Path, name: str, version: str) -> None:
    """A release without wheels, which cannot be built."""
    about = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n"
    with tarfile.open(folder / f"{name}-{version}.tar.gz", "w:gz") as archive:
        for path, text in (("PKG-INFO", about), ("setup.py", "raise SystemExit('it is for another Python')\n")):
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of packages: `old` has wheels for another Python up to 1.1, `wants` needs an old `base`; the first
    release of `early` says nothing of what it cannot work with, the next ones do."""
    folder = tmp_path_factory.mktemp("wheels")
    for name, version in (("pip", "99"), ("setuptools", "80"), ("wheel", "0.9"), ("wheel", "1")):
        wheel(folder, name, version)
    for version in ("1.0", "1.1"):
        wheel(folder, "old", version, "cp38-cp38-linux_x86_64")
    for version in ("1.2", "2.0"):
        wheel(folder, "old", version)
    for version in ("1.0", "1.5", "2.0"):
        wheel(folder, "base", version)
    wheel(folder, "wants", "1.0", requires=["base<2"])
    wheel(folder, "likes", "1.0", requires=["base>=1.1"])
    source(folder, "compiled", "1.0")
    wheel(folder, "compiled", "2.0")
    wheel(folder, "needs-compiled", "1.0", requires=["compiled<2"])
    wheel(folder, "needs-compiled", "1.5", requires=["compiled"])
    wheel(folder, "needs-compiled", "2.0", requires=["compiled"])
    for version, python in (("1.0", ">=3"), ("2.0", ">=3.9"), ("3.0", ">=3.11")):
        wheel(folder, "kept", version, python=python)
        wheel(folder, "lost", version, "cp38-cp38-linux_x86_64" if version == "1.0" else "py3-none-any", python=python)
    wheel(folder, "brings", "1.0", requires=["kept", "lost"])
    wheel(folder, "early", "1.0")
    wheel(folder, "early", "1.1", requires=["base<2"])
    wheel(folder, "early", "1.2", requires=["base<2", "wheel<1"])
    wheel(folder, "early", "2.0")
    return folder


Conda = Callable[..., dict]


@pytest.fixture
def conda(wheels: Path) -> Conda:
    """A conda file whose packages come from the folder of wheels."""

    def spec(*pip: str, python: str = "3.8", packages: Iterable[str] = ()) -> dict:
        lines = ["--no-index", f"--find-links={wheels}", *pip]
        return {"conda_file": {"dependencies": [f"python={python}", *packages, "pip", {"pip": lines}]}}

    return spec


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    workspace = Workspace(tmp_path / "my work" / ".amlocal")
    workspace.create()
    return workspace


class Job:
    """A job's folder and log, and what its Python says."""

    def __init__(self, workspace: Workspace, name: str = "job") -> None:
        self.workspace, self.folder = workspace, workspace.jobs / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "log.txt"

    def prepare(self, environment: dict | None, command: str = "") -> environments.Runtime:
        return environments.prepare(environment, self.workspace, self.path, self.folder, command)

    @property
    def log(self) -> str:
        return self.path.read_text(encoding="utf-8") if self.path.exists() else ""

    def version(self, environment: dict, module: str) -> str:
        python = self.prepare(environment).python
        code = f"import {module}; print({module}.VERSION)"
        return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def job(workspace: Workspace) -> Job:
    return Job(workspace)


# -- what a spec asks for


@pytest.mark.parametrize(
    ("item", "requirement"),
    [
        ("numpy", "numpy"),
        ("numpy=1.2", "numpy==1.2.*"),
        ("conda-forge::numpy=2.3.1", "numpy==2.3.1.*"),
        ("numpy==1.2", "numpy==1.2"),
        ("numpy=1.19.2=py38h0", "numpy==1.19.2"),
        ("numpy 1.19.* py38h0", "numpy==1.19.*"),
        ("numpy >=1.2,<2", "numpy<2,>=1.2"),
        ("numpy[version='>=1.2']", "numpy>=1.2"),
        ("numpy=1.2|1.3", "numpy"),
        ("pytorch=2.0", "torch==2.0.*"),
        ("azureml=1.0rc1", "azureml==1.0rc1"),
        ("numpy==1.2.*", "numpy==1.2.*"),
        ("numpy>=1.2.*", "numpy>=1.2"),
        ("numpy=*", "numpy"),
        ("pytorch=*=*cuda*", "torch"),
        ("pytorch::pytorch=2.1.0=py3.11_cuda12.1_cudnn8.9.2_0", "torch==2.1.0"),
        ("https://host/channel/linux-64::numpy=1.2", "numpy==1.2.*"),
        ("python-graphviz", "graphviz"),
        ("py-opencv=4.6", "opencv-python-headless==4.6.*"),
        ("tensorflow-gpu==2.4.1", "tensorflow==2.4.1"),
        ("msgpack-python", "msgpack"),
        ("typing-extensions", "typing-extensions"),
    ],
)
def test_a_package_of_conda_in_the_words_of_pip(item, requirement):
    [package] = of_conda_file({"dependencies": ["python=3.8", "pip=20", item]}).packages
    assert str(package.requirement) == requirement


@pytest.mark.parametrize(
    "item",
    [
        "_libgcc_mutex=0.1=main",
        "readline=8.2=h5eee18b_0",
        "tk",
        "openssl=3.0.13",
        "tzdata=2024a=h04d1e81_0",
        "ld_impl_linux-64=2.38=h1181459_1",
        "pytorch-cuda=12.1",
        "graphviz",
        "r-base",
        "mine::nobody-knows-this=1",
    ],
)
def test_a_package_of_conda_is_never_a_stranger_of_that_name_on_pypi(item):
    wanted = of_conda_file({"dependencies": ["python=3.11.8=h955ad1f_0", item], "name": "base", "prefix": "/opt/conda"})
    assert wanted.packages == []
    assert wanted.python == "==3.11.8" and not wanted.other_python
    [line] = wanted.notices
    assert line.startswith(f"{re.split('[=]', item.rpartition('::')[2])[0]} is left out: ")


@pytest.mark.parametrize(
    ("lines", "requirements"),
    [
        (["a==1 # as always", "", "# nothing"], ["a==1"]),
        (["a[x, y]>=1 ; python_version>='3'"], ['a[x,y]>=1; python_version >= "3"']),
        (["a==1 \\", "  --hash=sha256:0123 \\", "  --hash=sha256:4567"], ["a==1"]),
        (
            ["git+https://host/owner/name.git@main#egg=other"],
            ["other @ git+https://host/owner/name.git@main#egg=other"],
        ),
        (["git+https://host/owner/name.git@main"], ["name @ git+https://host/owner/name.git@main"]),
        (["https://host/a/name-1.0-py3-none-any.whl"], ["name @ https://host/a/name-1.0-py3-none-any.whl"]),
        (["-e git+https://host/name.git"], ["name @ git+https://host/name.git"]),
        (["pip<22", "setuptools"], []),
    ],
)
def test_lines_of_pip(lines, requirements):
    wanted = of_conda_file({"dependencies": [{"pip": lines}]})
    assert [str(package.requirement) for package in wanted.packages] == requirements


@pytest.mark.parametrize(
    ("python", "packages", "held"),
    [
        ("3.8", [{"pip": ["scikit-learn==1.0.2", "numpy>=1.20"]}], True),
        ("3.8", [{"pip": ["scikit-learn==1.0.2", "numpy==1.21.2"]}], False),  # bounded already
        ("3.8", [{"pip": ["scikit-learn>=1.0"]}], False),  # a new one will do
        ("3.10", [{"pip": ["scikit-learn==1.2.2"]}], False),  # on Azure, too, it gets numpy 2
        ("3.10", ["scikit-learn=1.2"], True),
        ("3.10", ["pandas=2.2.2", "scipy>=1.10"], False),
    ],
)
def test_what_came_before_numpy_2_does_not_get_it_where_it_does_not_on_azure(python, packages, held):
    wanted = of_conda_file({"dependencies": [f"python={python}", *packages]})
    wanted.hold_numpy()
    assert ("numpy<2" in [str(package.requirement) for package in wanted.packages]) == held
    assert bool(wanted.notices) == held


def test_indexes_are_handed_on_and_the_rest_of_the_options_is_told():
    lines = ["--extra-index-url=https://x/simple", "-i https://y", "-fhttps://z", "--require-hashes"]
    wanted = of_conda_file({"dependencies": [{"pip": lines}]})
    assert wanted.options == ["--extra-index-url https://x/simple", "-i https://y", "-f https://z"]
    assert wanted.notices == ["pip's option --require-hashes is not used"]


@pytest.mark.parametrize(
    ("conda_file", "message"),
    [
        ({"dependencies": [{"pip": ["not a requirement!"]}]}, '"not a requirement!" is not a requirement'),
        ({"dependencies": ["numpy=>1"]}, '"numpy=>1" is not a requirement'),
        ({"dependencies": [{"pip": ["-r requirements.txt"]}]}, '"-r requirements.txt": only this file reaches'),
        ({"dependencies": [{"pip": ["./mine-1.0-py3-none-any.whl"]}]}, "a file of your own does not reach"),
        ({"dependencies": [{"pip": ["-e ."]}]}, "a file of your own does not reach"),
        ({"dependencies": [{"pip": ["a @ file:///croot/a/work"]}]}, "a file of your own does not reach"),
        ({"dependencies": [{"pip": "-r requirements.txt"}]}, '"pip:" is a list of requirements'),
        ({"dependencies": ["python=>3"]}, '"python=>3" is not a requirement'),
        ({"dependencies": [{"npm": ["left-pad"]}]}, '"npm:" is not understood'),
        ({"dependencies": "numpy"}, "not a conda file"),
    ],
)
def test_what_is_no_requirement_is_named_before_anything_runs(workspace, conda_file, message):
    assert message in str(environments.problem({"conda_file": conda_file}, workspace))


def test_an_environment_that_nobody_registered_is_named(workspace):
    told = str(environments.problem({"reference": "gone:1"}, workspace))
    assert told.startswith('environment "gone" was not found in this workspace')
    with pytest.raises(UserError, match="was not found in this workspace"):
        Job(workspace).prepare({"reference": "gone:1"})


def test_a_registered_environment_is_what_it_was_registered_as(workspace, conda, job):
    for version, package in (("1", "base==1.0"), ("2", "base==1.5")):
        Assets(workspace, "environment").create({"name": "mine", "version": version, **conda(package)})
    assert job.version({"reference": "mine:1"}, "base") == "1.0"
    assert job.version({"reference": "azureml:mine@latest"}, "base") == "1.5"


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        (
            {"reference": "AzureML-nobody-knows@latest"},
            "what is in it is not known here: this Python",
        ),
        ({"reference": "//registries/azureml/environments/nobody/labels/latest"}, "is not known here: this Python"),
        (
            {"reference": "//registries/mine/environments/sklearn-1.5/versions/1"},
            "in a registry that is not here: this Python",
        ),
        ({"image": "python:3.8"}, "the image python:3.8 is not used: this Python"),
        ({"conda_file": {"dependencies": ["python=3.8", "numpy"]}}, "it asks for Python 3.8; this Python"),
    ],
)
def test_where_this_python_stands_for_something_the_log_says_so_in_one_line(job, environment, line):
    python = job.prepare(environment).python
    assert python.is_relative_to(job.folder)
    assert len(job.log.splitlines()) == 1
    assert line in job.log
    assert environments.problem(environment, job.workspace) is None


# -- Azure's own


@pytest.mark.parametrize("name", curated.published())
def test_each_curated_environment_is_a_list_of_requirements(name):
    about = curated.published()[name]
    wanted = curated.of_name(f"//registries/azureml/environments/{name}/labels/latest", "this Python")
    assert [str(package.requirement) for package in wanted.packages] == [str(Requirement(p)) for p in about.packages]
    assert wanted.python == f"=={about.python}" and not wanted.layered
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", about.date)


@pytest.mark.parametrize(
    ("name", "package", "python"),
    [
        ("//registries/azureml/environments/sklearn-1.5/labels/latest", "scikit-learn~=1.5.0", "==3.10"),
        ("//registries/azureml/environments/sklearn-1.5/versions/33", "scikit-learn~=1.5.0", "==3.10"),
        ("AzureML-sklearn-1.0-ubuntu20.04-py38-cpu@latest", "scikit-learn~=1.0.0", "==3.8"),
        ("azureml-lightgbm-3.3", "lightgbm~=3.3.5", "==3.10"),
        ("AzureML-ACPT-pytorch-1.13-py38-cuda11.7-gpu:10", "torch~=1.13.1", "==3.8"),
        ("//registries/azureml/environments/acpt-pytorch-2.2-cuda12.1/labels/latest", "torch~=2.2.0", "==3.10"),
        ("//registries/azureml/environments/tensorflow-2.16-cuda12/versions/9", "tensorflow==2.16.2", "==3.10"),
        # not in the table: the version that the name tells, with what the nearest one has
        ("AzureML-sklearn-0.24-ubuntu18.04-py37-cpu", "scikit-learn==0.24.*", "==3.7"),
        ("//registries/azureml/environments/pytorch-2.2/labels/latest", "torch==2.2.*", "==3.10"),
        ("AzureML-tensorflow-2.4-ubuntu18.04-py37-cuda11-gpu@latest", "tensorflow==2.4.*", "==3.7"),
        ("AzureML-lightgbm-3.2-ubuntu18.04-py37-cpu", "lightgbm==3.2.*", "==3.7"),
    ],
)
def test_a_curated_name_stands_for_its_packages(name, package, python):
    wanted = curated.of_name(name, "this Python")
    told = [str(each.requirement) for each in wanted.packages]
    assert package in told and wanted.python == python
    assert any(each.startswith("mlflow-skinny==2.") for each in told), "which Azure's tracking server understands"


def test_an_unknown_curated_name_is_like_the_next_one_of_its_framework():
    wanted = curated.of_name("AzureML-sklearn-0.24-ubuntu18.04-py37-cpu", "this Python")
    assert "it is taken for sklearn-1.0 with scikit-learn==0.24.*" in wanted.notices[0]
    wanted = curated.of_name("AzureML-sklearn-1.9", "this Python")
    assert "it is taken for sklearn-1.5 with scikit-learn==1.9.*" in wanted.notices[0]


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("AzureML-nobody-3.3@latest", ["nobody==3.3.*"]),
        ("//registries/azureml/environments/acpt-nobody-2.8-cuda12.6/labels/latest", ["nobody==2.8.*"]),
        ("//registries/azureml/environments/nobody-minimal/versions/3", ["nobody"]),
        ("AzureML-cowsay-6.1@latest", []),
    ],
)
def test_a_framework_that_no_known_environment_has_is_put_over_this_python(name, packages, monkeypatch):
    monkeypatch.setitem(curated.FRAMEWORKS, "nobody", ("nobody", "nobody"))
    wanted = curated.of_name(name, "this Python")
    assert [str(package.requirement) for package in wanted.packages] == packages
    assert wanted.layered


def test_an_image_of_a_curated_environment_tells_as_much():
    told = curated.of_image("mcr.microsoft.com/azureml/curated/sklearn-1.5:7", "this Python").packages
    assert "scikit-learn~=1.5.0" in [str(package.requirement) for package in told]
    assert curated.of_image("me/sklearn-1.5", "this Python").packages == []


@pytest.fixture
def only_wheels(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No index but the folder of wheels."""
    for tool in ("UV", "PIP"):
        monkeypatch.setenv(f"{tool}_FIND_LINKS", str(wheels))
        monkeypatch.setenv(f"{tool}_NO_INDEX", "1")


def test_the_package_that_one_of_azures_environments_is_named_after_is_added(job, only_wheels, monkeypatch):
    for name in ("old", "nobodyhas"):
        monkeypatch.setitem(curated.FRAMEWORKS, name, (name, name))
    python = job.prepare({"reference": "AzureML-old-1.1@latest"}).python
    code = "import old, yaml; print(old.VERSION)"
    assert subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout == "1.2\n"
    job.prepare({"reference": "AzureML-nobodyhas-1.1@latest"})
    assert "nobodyhas==1.1.* is left out" in job.log, "the rest of it is guessed, too"


def test_a_curated_environment_is_built_from_the_nearest_of_its_packages(job, only_wheels, monkeypatch):
    about = curated.Published("tale-1", "7", "", "2025-01-01", "3.8", ("old~=1.0.0", "base==1.0", "azureml-gone"), {})
    monkeypatch.setattr(curated, "published", lambda: {"tale-1": about})
    assert job.version({"reference": "//registries/azureml/environments/tale-1/labels/latest"}, "old") == "1.2"
    assert "tale-1 has the packages that Azure's has (as published on 2025-01-01)" in job.log
    assert "old~=1.0.0 is not available" in job.log and "azureml-gone is left out" in job.log


def test_without_a_network_this_python_stands_for_a_curated_environment(job, monkeypatch):
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    job.prepare({"reference": "AzureML-sklearn-1.5@latest"})
    told = job.log.splitlines()[-1]
    assert told.startswith("Environment: AzureML-sklearn-1.5 is not built, and this Python")
    assert "http://127.0.0.1:9/simple" in told and "could not be reached" in told


def test_a_curated_name_of_the_registry_is_not_one_of_the_workspace(workspace):
    told = str(environments.problem({"reference": "sklearn-1.5@latest"}, workspace))
    assert '"azureml://registries/azureml/environments/sklearn-1.5/labels/latest"' in told


# -- whether this Python has it


def test_what_this_python_has_is_not_built(job):
    spec = {
        "conda_file": {"dependencies": ["python=3.11", "numpy>=2", {"pip": ["pyyaml # used", "uvicorn[standard]"]}]}
    }
    missing = list(unsatisfied(of_conda_file(spec["conda_file"]).packages))
    if not any("uvicorn" in each for each in missing):
        job.prepare(spec)
        assert job.log == ""
    assert [each for each in missing if "uvicorn" not in each] == []


def test_what_is_missing_is_told_with_what_is_there():
    lines = [
        "numpy==0.1",
        "nobody-has-this",
        "a==1 ; python_version<'3'",
        "requests[nobody]",
        "numpy @ https://x/n.whl",
    ]
    told = list(unsatisfied(of_conda_file({"dependencies": [{"pip": lines}]}).packages))
    assert told[0].startswith("numpy==0.1 (here ")
    assert told[1] == "nobody-has-this (not installed)"
    assert told[2].endswith("from elsewhere)")
    assert len(told) == 3, "a marker for another Python asks for nothing; nor does an extra that is none"


def test_an_extra_is_part_of_what_is_asked_for(monkeypatch):
    from importlib import metadata

    real = metadata.distribution

    class WithExtra:
        version = "2.0"
        requires = ("nobody-has-this; extra == 'more'",)

    monkeypatch.setattr(metadata, "distribution", lambda name: WithExtra if name == "requests" else real(name))
    package = of_conda_file({"dependencies": [{"pip": ["requests[more]"]}]}).packages
    assert list(unsatisfied(package)) == ['requests[more]: nobody-has-this; extra == "more" (not installed)']


# -- a Dockerfile


DOCKERFILE = """
FROM --platform=linux/amd64 mcr.microsoft.com/azureml/base:latest
ENV A=1
# pip install commented-out
COPY deps/list.txt /tmp/requirements.txt
COPY conda.yml .
RUN apt-get update && apt-get install -y git && \\
    pip install --no-cache-dir -U 'a>=1,<2' b \\
      --extra-index-url https://x/simple
RUN python3 -m pip install -r /tmp/requirements.txt && rm -rf /tmp/requirements.txt
RUN conda env update -n base --file conda.yml
RUN pip install c==$VERSION .
CMD ["bash"]
"""


def test_a_dockerfile_is_read_as_far_as_it_speaks_of_packages(tmp_path):
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "deps").mkdir()
    (tmp_path / "deps" / "list.txt").write_text("d==1  # why\n-r more.txt\n")
    (tmp_path / "more.txt").write_text("e\n")
    (tmp_path / "conda.yml").write_text("dependencies: [python=3.8, pytorch=2, readline, {pip: [g]}]\n")
    wanted = of_build_context(tmp_path, "Dockerfile")
    assert [str(package.requirement) for package in wanted.packages] == ["a<2,>=1", "b", "d==1", "e", "torch==2.*", "g"]
    assert wanted.options == ["--extra-index-url https://x/simple"]
    assert wanted.layered
    image, readline, undone = wanted.notices
    assert "the image mcr.microsoft.com/azureml/base:latest is not used" in image
    assert readline.startswith("readline is left out")
    assert undone.endswith("ENV A, apt-get update, apt-get install, pip install c==$VERSION, pip install .")


def test_a_build_context_lies_over_this_python(job, tmp_path, wheels):
    (tmp_path / "Dockerfile").write_text(f"FROM x\nRUN pip install --no-index -f {wheels} base==1.0\n")
    python = job.prepare({"build": {"path": str(tmp_path), "dockerfile": "Dockerfile"}}).python
    code = "import base, yaml; print(base.VERSION)"
    assert subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout == "1.0\n"


def test_a_build_context_without_a_dockerfile(workspace, tmp_path):
    told = str(environments.problem({"build": {"path": str(tmp_path), "dockerfile": "Dockerfile"}}, workspace))
    assert "no Dockerfile at" in told


# -- building


def test_an_environment_is_built_once_and_for_all(workspace, conda):
    first, second = Job(workspace, "first"), Job(workspace, "second")
    assert first.version(conda("base==1.0", python="3.11"), "base") == "1.0"
    assert "Building an environment: this Python lacks base==1.0 (not installed)" in first.log
    assert second.version(conda("base==1.0", python="3.11"), "base") == "1.0"
    assert second.log == ""
    code = "import yaml"
    python = second.prepare(conda("base==1.0", python="3.11")).python
    assert subprocess.run([python, "-c", code], capture_output=True, check=False).returncode, "it has what it asked for"


def test_pins_that_are_too_old_for_this_python_give_way_as_little_as_need_be(workspace, conda):
    first, second = Job(workspace, "first"), Job(workspace, "second")
    environment = conda("old==1.0", "base==1.0")
    assert first.version(environment, "old") == "1.2"
    assert second.version(environment, "base") == "1.0", "what can be had stays as it was asked for"
    line = "Environment: old==1.0 is not available for Python 3.11 with the others; the nearest, 1.2, is taken"
    assert line in first.log and line in second.log


@pytest.mark.parametrize(
    ("pin", "nearest", "uv"),
    [
        ("old==1.0", "1.2", True),  # the lowest from the pin on that has a wheel, not the newest
        ("old~=1.0.0", "1.2", True),
        ("old>=1.0,<1.2", "1.2", True),
        ("old<1.2", "1.2", True),
        ("old==9.9", "2.0", True),  # nothing from the pin on: the highest below it
        ("old==1.0", "1.2", False),
        ("old==9.9", "2.0", False),
    ],
)
def test_the_nearest_version_is_the_lowest_from_the_pin_on(job, conda, monkeypatch, pin, nearest, uv):
    if not uv:
        monkeypatch.setattr(installer, "_find_uv", lambda: None)
    assert job.version(conda(pin), "old") == nearest
    assert f"the nearest, {nearest}, is taken" in job.log


def test_pins_that_exclude_each_other_move_to_the_nearest_versions_that_fit(job, conda):
    assert job.version(conda("likes==1.0", "base==1.0"), "base") == "1.5", "2.0 would fit, and is further"
    assert "base==1.0 is not available for Python 3.11 with the others; the nearest, 1.5, is taken" in job.log


def test_what_is_not_pinned_stays_the_newest_while_a_pin_moves(job, conda):
    assert job.version(conda("old==1.0", "base"), "base") == "2.0"


@pytest.mark.parametrize("python", ["3.8", "3.11"])
@pytest.mark.parametrize("lines", [["early<2"], ["early<2", "base"], ["base", "early<2,>=1"]], ids=" ".join)
def test_a_package_with_an_upper_bound_is_the_newest_below_it_whatever_else_could_be_newer(job, conda, lines, python):
    """An earlier release of it would go with the newest of everything, for it does not say that it fails with that."""
    assert job.version(conda(*lines, python=python), "early") == "1.2"


def test_a_pin_moves_when_what_it_needs_is_from_before_this_python(job, conda):
    assert job.version(conda("needs-compiled==1.0"), "needs_compiled") == "1.5"
    assert "needs-compiled==1.0 is not available for Python 3.11 with the others; the nearest, 1.5, is taken" in job.log


@pytest.mark.parametrize(
    ("python", "lines", "package", "version"),
    [
        ("3.8", ["kept"], "kept", "1.0"),
        ("3.8.15", ["brings"], "kept", "1.0"),  # what comes with something else as well
        ("3.10", ["brings"], "kept", "2.0"),
        ("3.11", ["brings"], "kept", "3.0"),
        ("3.8", ["brings", "old==1.0"], "kept", "1.0"),  # while a pin moves
        ("3.8", ["brings"], "lost", "3.0"),  # this Python has nothing that the other one had
        ("3.8", ["kept==2.0"], "kept", "2.0"),  # a pin is a pin, even one that the other one has not
    ],
)
def test_what_is_not_pinned_is_what_the_older_python_would_get(job, conda, python, lines, package, version):
    assert job.version(conda(*lines, python=python), package) == version


def test_what_excludes_each_other_is_loosened_too(job, conda):
    assert job.version(conda("wants==1.0", "base==2.0"), "base") == "1.5"
    assert "base==2.0 is not available" in job.log


def test_an_environment_for_this_very_python_is_taken_at_its_word(job, conda):
    with pytest.raises(UserError, match=r"it could not be built: .*(base|wants)"):
        job.prepare(conda("wants==1.0", "base==2.0", python="3.11"))
    assert not list(job.workspace.environments.glob("*/*"))


def test_what_only_conda_or_azure_has_is_left_out(job, conda):
    environment = conda("base==1.0", "azureml-gone==1", packages=["cudatoolkit=11.1"], python="3.11")
    assert job.version(environment, "base") == "1.0"
    assert "cudatoolkit is left out" in job.log
    assert "azureml-gone==1 is left out" in job.log


def test_a_package_that_nobody_has_fails_the_job_in_one_line(job, conda):
    with pytest.raises(UserError, match=r"it could not be built: .*nobody-has-this") as told:
        job.prepare(conda("base==1.0", "nobody-has-this"))
    assert "\n" not in str(told.value)
    assert "nobody-has-this" in job.log


def test_no_network_is_said_in_one_line(job, monkeypatch):
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9/simple.* could not be reached"):
        job.prepare({"conda_file": {"dependencies": [{"pip": ["nobody-has-this"]}]}})


def test_an_index_of_somebodys_own_that_is_gone_is_left_out(job, wheels, monkeypatch):
    real = installer.Installer._run

    def run(self: installer.Installer, command: list[str]) -> installer.Outcome:
        said = Path(self.prefix, "requirements.txt")
        if "install" in command and "http://gone" in said.read_text():
            return installer.Outcome(2, "error: error sending request for url (http://gone/simple/base/)")
        return real(self, [*command, "--no-index", "--find-links", str(wheels)] if "install" in command else command)

    monkeypatch.setattr(installer.Installer, "_run", run)
    lines = ["--extra-index-url=http://gone/simple", "base==1.0"]
    assert job.version({"conda_file": {"dependencies": [{"pip": lines}]}}, "base") == "1.0"
    assert "--extra-index-url http://gone/simple cannot be reached and is left out" in job.log


def test_a_full_disk_is_said_in_one_line(job, conda, monkeypatch):
    full = installer.Outcome(2, "error: failed to write\n  cause: No space left on device (os error 28)")
    monkeypatch.setattr(installer.Installer, "_run", lambda self, command: full)
    with pytest.raises(UserError, match="the disk is full"):
        job.prepare(conda("base==1.0"))


def test_pip_builds_where_uv_is_not(job, conda, monkeypatch):
    monkeypatch.setattr(installer, "_find_uv", lambda: None)
    assert job.version(conda("old==1.0"), "old") == "1.2"


def test_jobs_that_want_the_same_at_once_build_it_once(workspace, conda, monkeypatch):
    builds = []
    real = build._build
    monkeypatch.setattr(build, "_build", lambda *arguments: (builds.append(1), real(*arguments))[1])
    jobs = [Job(workspace, str(number)) for number in range(4)]
    threads = [threading.Thread(target=job.prepare, args=[conda("base==1.5")]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert all((job.folder / environments.OVERLAY).is_dir() for job in jobs)


def test_a_canceled_job_stops_building_and_leaves_nothing(job, conda, monkeypatch):
    with pytest.raises(installer.Stopped):
        environments.prepare(conda("base==1.5"), job.workspace, job.path, job.folder, "", stopped=lambda: True)
    assert not list(job.workspace.environments.glob("*/*"))


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_a_build_that_is_killed_leaves_nothing_that_looks_whole(job, conda, tmp_path):
    environment = conda("base==1.5")
    script = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from amlocal import environments
        from amlocal.environments.installer import Installer
        from amlocal.core.workspace import Workspace
        real = Installer.install
        def install(self, *arguments, **more):
            real(self, *arguments, **more)
            Path({str(tmp_path / "installed")!r}).touch()
            time.sleep(60)
        Installer.install = install
        folder = Path({str(job.folder)!r})
        environments.prepare({environment!r}, Workspace(Path({str(job.workspace.root)!r})), folder / "log", folder, "")
    """)
    process = subprocess.Popen([sys.executable, "-c", script])
    while not (tmp_path / "installed").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(job.workspace.environments.rglob("built.json"))
    assert job.version(environment, "base") == "1.5"
    assert "Building an environment" in job.log
