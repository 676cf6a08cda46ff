"""A double of Azure on 127.0.0.1: ARM, a workspace's services and blob storage, over TLS, for the real clients.

    with Double(folder) as double:                # in a test: the fixture `double`
        os.environ.update(double.environment)     # this process now takes it for Azure
        MLClient(EnvironmentCredential(), double.subscription, double.resource_group, double.workspace)

    python -m double --folder F --env FILE      # for other processes; see __main__.py

What it is not: a simulator of Azure. It answers what the clients of this repository ask, in Azure's shapes and with
Azure's refusals, keeps what it was sent, and says 501 to the rest (`unknown`, empty at the end of every test).
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from . import control, mlflow
from .arm import Store
from .batch import BatchEndpoints
from .blobs import Blobs
from .certificate import make_certificate
from .deployments import Deployments
from .endpoints import Endpoints
from .identity import CLIENT_ID, TENANT, Identity
from .jobs import Jobs
from .registries import Registries
from .resources import Resources
from .web import Cut, Handler, Refusal, Request, Response, Web
from .workspace import Workspaces

__all__ = ["Cut", "Double", "Handler", "Refusal", "Request", "Response"]

SITE = Path(__file__).parent / "site"
SUBSCRIPTION = "00000000-0000-0000-0000-00000000d0b1"


class Double(Web):
    """Azure, as far as one workspace needs it. Its state lies in memory, its certificate in `folder`."""

    subscription = SUBSCRIPTION
    resource_group = "rg-digits"
    workspace = "mlw-digits"
    location = "westeurope"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(self)
        self.identity = Identity(self)
        self.blobs = Blobs(self)
        self.resources = Resources(self)
        self.workspaces = Workspaces(self)
        self.deployments = Deployments(self)
        self.jobs = Jobs(self)
        self.endpoints = Endpoints(self)
        self.batch = BatchEndpoints(self)
        self.registries = Registries(self)
        mlflow.install(self)
        control.install(self)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def workspace_id(self) -> str:
        return self.workspaces.id_of(self.workspace)

    @property
    def environment(self) -> dict[str, str]:
        """All that a process needs to take this for Azure."""
        certificate = str(self.folder / "certificate.pem")
        return {
            "REQUESTS_CA_BUNDLE": certificate,
            "CURL_CA_BUNDLE": certificate,
            "SSL_CERT_FILE": certificate,
            "NO_PROXY": "127.0.0.1,localhost,.localhost",
            "no_proxy": "127.0.0.1,localhost,.localhost",
            "ARM_CLOUD_METADATA_URL": f"{self.url}/metadata/endpoints?api-version=2019-05-01",
            "AZUREML_CURRENT_CLOUD": "FakeCloud",
            "REGISTRY_DISCOVERY_ENDPOINT_URL": f"{self.url}/",
            # Look at jobs and deployments again at once; seconds lie between two looks at Azure.
            "AZUREML_RUN_POLLING_INTERVAL_MIN": "0",
            "AZUREML_RUN_POLLING_INTERVAL_MAX": "1",
            "AZURE_CONFIG_DIR": str(self.folder / "az"),
            "AZURE_SUBSCRIPTION_ID": self.subscription,
            "AZURE_DEFAULTS_GROUP": self.resource_group,
            "AZURE_DEFAULTS_WORKSPACE": self.workspace,
            "AZURE_DEFAULTS_LOCATION": self.location,
            "AZURE_CLIENT_ID": CLIENT_ID,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_SECRET": "a-secret-of-the-double",
            "AZURE_AUTHORITY_HOST": self.url,
            "PYTHONPATH": os.pathsep.join([str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }

    def start(self) -> None:
        self.listen(*make_certificate(self.folder))
        self.resources.create_group(self.resource_group, self.location)
        self.workspaces.create(self.workspace)

    def stop(self) -> None:
        self.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
