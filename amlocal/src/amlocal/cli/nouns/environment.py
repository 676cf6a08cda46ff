"""`aml environment`: register, change, archive, show and list environments."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader
from knack.help_files import helps

from amlocal.cli.arguments import ignored
from amlocal.cli.asset_verbs import Kind

KIND = Kind(
    noun="environment",
    title="environment",
    home="environments",
    columns="Image:image, Description:description",
    updated="its description and tags",
    listed="my-env",
)
show, list_all, archive, restore, update, share = KIND.verbs()


def create(
    file: str | None = None,
    name: str | None = None,
    version: str | None = None,
    image: str | None = None,
    conda_file: str | None = None,
    build_context: str | None = None,
    dockerfile_path: str = "/Dockerfile",
    os_type: str | None = None,
    description: str | None = None,
    tags: dict[str, str] | None = None,
    params_override: list[dict[str, Any]] | None = None,
    registry_name: str | None = None,
) -> dict[str, Any]:
    build = {"path": build_context, "dockerfile_path": dockerfile_path} if build_context else None
    return KIND.create(
        file,
        params_override,
        registry_name,
        name=name,
        version=version,
        image=image,
        conda_file=conda_file,
        build=build,
        os_type=os_type,
        description=description,
        tags=tags,
    )


def commands(loader: CLICommandsLoader) -> None:
    KIND.commands(loader)


def arguments(loader: CLICommandsLoader) -> None:
    KIND.arguments(loader)
    with ArgumentsContext(loader, "environment create") as c:
        c.argument(
            "image",
            options_list=["--image", "-i"],
            help="Docker image. Recorded for Azure; here jobs run on this machine's Python.",
        )
        c.argument(
            "conda_file",
            options_list=["--conda-file", "-c"],
            help="Local path to a conda specification file. --image/-i must also be specified if this is used.",
        )
        c.argument(
            "build_context",
            options_list=["--build-context", "-b"],
            help="Local path to the directory to use as a Docker build context. Recorded for Azure.",
        )
        c.argument(
            "dockerfile_path",
            options_list=["--dockerfile-path", "-d"],
            help="Relative path to the Dockerfile within the directory specified by --build-context/-b.",
        )
        c.argument("os_type", choices=["linux", "windows"], help="Type of operating system. Default: linux.")
        ignored(c, "--datastore")
        ignored(c, "--no-wait", value=False)


helps.update(KIND.texts())
helps["environment"] = """
type: group
short-summary: Manage Azure ML environments.
long-summary: An environment names the packages a job needs. \
  Here it becomes a Python on this machine, not a Docker image.
"""
helps["environment create"] = """
type: command
short-summary: Create an environment.
examples:
  - name: Create an environment from a YAML specification file
    text: aml environment create --file my_env.yml
  - name: Create an environment from a conda specification
    text: >
      aml environment create --name my-env --version 1 --conda-file conda_dep.yml
      --image mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04
"""
helps["environment show"] = """
type: command
short-summary: Show details for an environment.
examples:
  - name: Show details for an environment with the specified name and version
    text: aml environment show --name my-env --version 1
  - name: Show details for one of Azure's curated environments
    text: aml environment show --name sklearn-1.5 --label latest --registry-name azureml
"""
