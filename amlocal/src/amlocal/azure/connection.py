"""azure-ai-ml's MLClient for a workspace in Azure, signed in as az is."""

import sys
import time
from typing import Any

from amlocal.azure.place import Place

REFRESH_SECONDS = 300
CLI_SECONDS = 30  # `az account get-access-token` starts slowly
POLLING_SECONDS = 5.0  # where Azure does not say when to ask again; azure-core would wait for 30


def connect(place: Place) -> Any:
    """The client. Signs in when the first request is made, not before."""
    return _client(place.subscription, place.resource_group, place.workspace, polling_interval=POLLING_SECONDS)


def connect_registry(name: str) -> Any:
    """The client of a registry. Signs in at once, to ask where the registry is."""
    return _client(registry_name=name)


def _client(*place: str | None, **more: Any) -> Any:
    from azure.ai.ml import MLClient
    from azure.ai.ml._utils import _azureml_polling

    from amlocal.specs.load import quiet

    quiet()
    # The dots of a long operation go to stdout, whatever `show_progress` says; there the answer is to stand alone.
    _azureml_polling.print = _print_progress  # type: ignore[attr-defined]
    return MLClient(credential(), *place, show_progress=False, enable_telemetry=False, **more)


def _print_progress(text: str, **how: Any) -> None:
    """`print` for somebody who sits and waits."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, **how)


def credential() -> Any:
    """Whoever is signed in with `az login` first, so that what az shows and what `aml` does agree; then the rest of
    DefaultAzureCredential: a service principal in the environment, a workload's or a machine's identity, ...
    """
    from azure.identity import AzureCliCredential, ChainedTokenCredential, DefaultAzureCredential

    return Kept(
        ChainedTokenCredential(
            AzureCliCredential(process_timeout=CLI_SECONDS), DefaultAzureCredential(exclude_cli_credential=True)
        )
    )


class Kept:
    """A credential that asks once for each scope while the token is good.

    azure-ai-ml has a client per service, each asks for itself, and `az account get-access-token` takes a second.
    """

    def __init__(self, credential: Any) -> None:
        self._credential = credential
        self._tokens: dict[tuple[Any, ...], Any] = {}

    def get_token(self, *scopes: str, **more: Any) -> Any:
        asked = (scopes, tuple(sorted(more.items())))
        token = self._tokens.get(asked)
        if token is None or token.expires_on - time.time() < REFRESH_SECONDS or more.get("claims"):
            token = self._tokens[asked] = self._credential.get_token(*scopes, **more)
        return token
