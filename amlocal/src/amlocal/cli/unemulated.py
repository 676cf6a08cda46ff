"""What `az ml` can do and this machine cannot: answered in one line, whatever the flags."""

from collections.abc import Sequence

# Nouns of which nothing is emulated: what they are.
NOUNS = {
    "azure-openai-deployment": "Azure OpenAI deployments",
    "capability-host": "capability hosts",
    "connection": "workspace connections",
    "deployment-template": "deployment templates of a registry",
    "feature-set": "feature sets",
    "feature-store": "feature stores",
    "feature-store-entity": "feature store entities",
    "index": "indexes",
    "marketplace-subscription": "marketplace subscriptions",
    "serverless-endpoint": "serverless endpoints",
    "workspace outbound-rule": "managed network rules",
}

# Verbs of nouns that are: what they do, and what to do here instead, if there is something.
VERBS = {
    "component prepare-for-sign": ("signing components", ""),
    "compute attach": ("attaching machines and clusters", "every job runs on this machine"),
    "compute connect-ssh": ("SSH to a compute instance", "this machine is the compute"),
    "compute detach": ("detaching machines and clusters", "`aml compute delete` forgets a compute target"),
    "compute enable-sso": ("single sign-on of compute instances", ""),
    "data import": ("importing from databases and S3", "`aml data create --path` takes files and http(s) addresses"),
    "data list-materialization-status": ("importing from databases and S3", ""),
    "data mount": ("mounting", "`aml data show --query path -o tsv` is a path on this disk"),
    "datastore mount": ("mounting", "its files lie in `datastores/<name>` in the workspace"),
    "job connect-ssh": ("SSH into a job", "it runs on this machine; `aml job stream` shows its log"),
    "model package": ("packaging as an image", "`aml online-deployment create` serves the model as it is"),
    "workspace diagnose": ("diagnosing a workspace's Azure resources", "`aml doctor` looks at this machine"),
    "workspace list-keys": ("keys of a workspace's Azure resources", "nothing here asks for a key"),
    "workspace provision-network": ("managed networks", ""),
}


def command_of(arguments: Sequence[str]) -> str | None:
    """The command that is not emulated which these arguments name, None for any other."""
    words: list[str] = []
    for text in arguments:
        if text.startswith("-"):
            break
        words.append(text)
    for count in (2, 1):
        named = " ".join(words[:count])
        if named in NOUNS or named in VERBS:
            return " ".join(words[: count + 1]) if named in NOUNS else named
    return None


def what(command: str) -> str:
    """What such a command is about, and what to do here instead if there is something."""
    for noun, text in NOUNS.items():
        if command == noun or command.startswith(f"{noun} "):
            return text
    text, instead = VERBS[command]
    return f"{text} ({instead})" if instead else text


def answer(command: str) -> str:
    """The one line: what it is, that it is not emulated, what to do."""
    return f"{command}: not emulated on this machine: {what(command)}; in Azure it is `az ml {command}`"
