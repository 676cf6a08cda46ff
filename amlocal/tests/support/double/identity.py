"""Which cloud this is (ARM's metadata) and who asks (the token endpoint)."""

import base64
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .certificate import SERVICES
from .web import Refusal, Request

if TYPE_CHECKING:
    from . import Double

CLIENT_ID = "00000000-0000-0000-0000-0000000c11e7"
OBJECT_ID = "00000000-0000-0000-0000-00000000b0b0"
# MSAL asks Microsoft's own servers whether an authority is theirs, save for this tenant: a directory on the premises.
TENANT = "adfs"


def token(scope: str, tenant: str = TENANT) -> str:
    """An access token's shape: the claims that clients read, and a signature that nobody should trust."""
    now = int(time.time())
    claims = {
        "aud": scope.removesuffix("/.default"),
        "iss": "double",
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
        "oid": OBJECT_ID,
        "appid": CLIENT_ID,
        "tid": tenant,
        "sub": OBJECT_ID,
        "name": "double",
    }
    parts = [{"alg": "none", "typ": "JWT"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "ZG91Ymxl"])  # readers decode the signature too, if only to see that they can


class Identity:
    """The metadata endpoint and a directory in which everybody may sign in."""

    def __init__(self, double: "Double") -> None:
        self.double = double
        double.route("GET", "/metadata/endpoints")(self.metadata)
        double.route("GET", "/{tenant}/.well-known/openid-configuration")(self.configuration)
        double.route("GET", "/{tenant}/v2.0/.well-known/openid-configuration")(self.configuration)
        double.route("POST", "/{tenant}/oauth2/token")(self.issue)
        double.route("POST", "/{tenant}/oauth2/v2.0/token")(self.issue)

    def metadata(self, request: Request) -> Any:
        url, port = self.double.url, self.double.port
        cloud = {
            "name": "FakeCloud",
            "portal": "https://portal.azure.localhost/",
            "resourceManager": url + "/",
            "graph": url + "/",
            "graphAudience": url + "/",
            "microsoftGraphResourceId": url + "/",
            "gallery": url + "/",
            "batch": url + "/",
            "media": url + "/",
            "sqlManagement": url + "/",
            "vmImageAliasDoc": url + "/",
            "ossrdbmsResourceId": url + "/",
            "logAnalyticsResourceId": url + "/",
            "appInsightsResourceId": url + "/",
            "activeDirectoryDataLake": url + "/",
            "authentication": {
                "loginEndpoint": url + "/",
                "audiences": [url, url + "/"],
                "tenant": "common",
                "identityProvider": "AAD",
            },
            "suffixes": {
                # Clients put `<account>.blob.` in front of it.
                "storage": f"{SERVICES['blob'].removeprefix('blob.')}:{port}",
                "keyVaultDns": f"{SERVICES['vault']}:{port}",
                "acrLoginServer": f"registry.localhost:{port}",
                "sqlServerHostname": "database.localhost",
                "mysqlServerEndpoint": "mysql.localhost",
                "postgresqlServerEndpoint": "postgres.localhost",
                "mariadbServerEndpoint": "mariadb.localhost",
                "azureDataLakeStoreFileSystem": "datalake.localhost",
                "azureDataLakeAnalyticsCatalogAndJob": "analytics.localhost",
                "attestationEndpoint": "attest.localhost",
                "mhsmDns": "hsm.localhost",
                "synapseAnalytics": "synapse.localhost",
                "storageSyncEndpointSuffix": "sync.localhost",
            },
        }
        # The first form of the answer is the cloud itself, the later one a list of clouds.
        return cloud if request.query.get("api-version") == "2018-05-01" else [cloud]

    def configuration(self, request: Request, tenant: str) -> Any:
        url = f"{self.double.url}/{tenant}"
        return {
            "issuer": url,
            "authorization_endpoint": f"{url}/oauth2/authorize",
            "token_endpoint": f"{url}/oauth2/token",
            "device_authorization_endpoint": f"{url}/oauth2/devicecode",
        }

    def issue(self, request: Request, tenant: str) -> Any:
        form = dict(parse_qsl(request.content.decode()))
        if not form.get("client_id"):
            raise Refusal(400, "invalid_client", "The request names no client_id.")
        audience = form.get("scope", "").split()[0] if form.get("scope") else form.get("resource", "")
        return {
            "token_type": "Bearer",
            "expires_in": 3600,
            "ext_expires_in": 3600,
            "access_token": token(audience, tenant),
        }
