"""What is known of az's commands: the flags of those that are answered, and what is said of all others.

`commands.txt` beside this file has the flags. What is not answered is handed to Azure's own `az`, if there is one.
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path


@dataclass(frozen=True)
class Flag:
    """One flag by all its names, the longest reading first; a positional argument has one name, without dashes."""

    names: tuple[str, ...]
    required: bool = False
    switch: bool = False

    @property
    def key(self) -> str:
        """What handlers call it: `resource_group`; `name` if that is one of its names."""
        name = "--name" if "--name" in self.names else self.names[0]
        return name.strip("-<>").lower().replace("-", "_")

    @property
    def positional(self) -> bool:
        return self.names[0].startswith("<")


@cache
def flags() -> dict[str, tuple[Flag, ...]]:
    """The flags of every command that is answered."""
    text = Path(__file__).with_name("commands.txt").read_text("utf-8")
    lines = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {command: tuple(map(_flag, words.split())) for command, _, words in lines}


def _flag(text: str) -> Flag:
    return Flag(tuple(text.rstrip("!?").split("/")), text.endswith("!"), text.endswith("?"))


# Commands, or groups of them, whose effect exists in Azure only: what they are about there, and what to do here. The
# longest name that a command begins with counts.
IN_AZURE = {
    "acr": ("container images in a registry", "no image is built or pulled; environments are made of their conda file"),
    "ad": ("users, groups and applications of a directory", "every command runs as you"),
    "aks": ("Kubernetes clusters", "jobs and endpoints run on this machine"),
    "appservice": ("web apps", "`aml online-deployment create` serves a model on this machine"),
    "arcdata": ("data services on Kubernetes", ""),
    "arc": ("machines and clusters that Azure manages", "jobs and endpoints run on this machine"),
    "batch": ("Azure Batch", "`aml job create` runs a job on this machine"),
    "billing": ("bills", "nothing here costs anything"),
    "cognitiveservices": ("Azure AI services", "call them in Azure, or replace them in the script"),
    "connectedk8s": ("Kubernetes clusters outside Azure", "jobs and endpoints run on this machine"),
    "consumption": ("the use of what costs money", "nothing here costs anything"),
    "container": ("container instances", "`aml online-deployment create` serves a model on this machine"),
    "containerapp": ("container apps", "`aml online-deployment create` serves a model on this machine"),
    "cosmosdb": ("Cosmos DB", ""),
    "databricks": ("Databricks workspaces", "`aml job create` runs a job on this machine"),
    "datafactory": ("Data Factory", "`aml job create` runs a pipeline on this machine"),
    "deployment": ("ARM deployments", "nothing needs to be provisioned here"),
    "devops": ("Azure DevOps projects", ""),
    "eventgrid": ("events of Azure's services", ""),
    "eventhubs": ("Event Hubs", ""),
    "extension": ("parts of the Azure CLI", "`az ml` is there without one"),
    "feature": ("preview features of a subscription", "none needs to be registered here"),
    "functionapp": ("function apps", "`aml online-deployment create` serves a model on this machine"),
    "k8s-configuration": ("Kubernetes clusters", "jobs and endpoints run on this machine"),
    "k8s-extension": ("Kubernetes clusters", "jobs and endpoints run on this machine"),
    "keyvault": ("keys, certificates and secrets in a vault", "`az keyvault secret set` keeps secrets here"),
    "lock": ("locks on resources", "nothing here can be locked"),
    "managed-cassandra": ("Cassandra clusters", ""),
    "monitor": ("metrics, alerts and logs", "see `aml online-deployment get-logs`, and the endpoint's /metrics"),
    "mysql": ("MySQL servers", ""),
    "network": ("virtual networks", "endpoints listen on this machine only, there is no network to shield"),
    "pipelines": ("Azure Pipelines", "run the steps of the pipeline's file under `aml exec`"),
    "policy": ("policies of a subscription", "none applies here"),
    "postgres": ("PostgreSQL servers", ""),
    "redis": ("Redis caches", ""),
    "repos": ("Azure Repos", ""),
    "resource": ("resources of any kind", "`az resource list` and `show` answer for what was created here"),
    "role": ("who may do what", "every command runs as you"),
    "search": ("Azure AI Search", ""),
    "servicebus": ("Service Bus", ""),
    "sig": ("galleries of machine images", ""),
    "sql": ("SQL servers and databases", ""),
    "ssh": ("SSH into machines in Azure", "jobs and endpoints run on this machine"),
    "staticwebapp": ("static web apps", ""),
    "storage": ("storage accounts", "containers, blobs and file systems are kept here; see `az storage blob --help`"),
    "synapse": ("Synapse workspaces and Spark pools", "Spark is not emulated; `aml job create` runs a command job"),
    "tag": ("tags of a subscription", "`az tag update --resource-id` changes what was created here"),
    "vm": ("virtual machines", "this machine is the compute: run what the machine was to run here"),
    "vmss": ("groups of virtual machines", "this machine is the compute"),
    "webapp": ("web apps", "`aml online-deployment create` serves a model on this machine"),
}  # fmt: skip


def words_of(arguments: Sequence[str]) -> list[str]:
    """The words that name the command: what stands before the first flag."""
    return list(takewhile(lambda word: not word.startswith("-"), arguments))


def beginnings(words: Sequence[str]) -> Iterator[str]:
    """`a b c`, `a b`, `a`."""
    return (" ".join(words[:count]) for count in range(len(words), 0, -1))


def is_answered(arguments: Sequence[str]) -> bool:
    """Whether these arguments name a command that is answered, or a group that holds one (which lists its commands)."""
    words = words_of(arguments)
    if any(name in flags() for name in beginnings(words)):
        return True
    named = " ".join(words)
    return not named or any(command.startswith(f"{named} ") for command in flags())


def refusal(arguments: Sequence[str]) -> str:
    """What is said of a command that exists in Azure only; empty for one that nothing is known of."""
    for name in beginnings(words_of(arguments)):
        if name in IN_AZURE:
            about, instead = IN_AZURE[name]
            return f": it is about {about} in Azure" + (f"; instead: {instead}" if instead else "")
    return ""


def misspelled(arguments: Sequence[str]) -> str | None:
    """The command that is answered which these words nearly name: each word is like its own."""
    words = words_of(arguments)
    near = difflib.get_close_matches(" ".join(words), flags(), n=1, cutoff=0.9)
    return near[0] if near and len(near[0].split()) == len(words) else None
