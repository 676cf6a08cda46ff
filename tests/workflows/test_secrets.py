"""No secret and no subscription id in the repository."""

import json
import re
import subprocess

import pytest
from tests.workflows.conftest import ROOT, tool

# What looks like a secret to the scanner and is none.
HARMLESS = (
    r'"image/png": "',  # a notebook's pictures
    r'sha256="[0-9a-f]{64}"',  # checksums of public data
    r'"generation_token_statistics": "',  # the name of one of Azure's signals
    r'"(tokenType|token_type|secretsType)": "',  # what kind of token, not which
    r'"access_token": "accessToken"|token_type == "Bearer"',  # the name of a field, and what kind of token
    r'"aml_token": "AMLToken"',  # two names of one way to sign in
    r'"accessToken": "local"|\.token == "local"',  # of the stand-in for az: there is nobody to sign in to
    r"of-the-double|[&?]sig=double|-primary",  # the double's, on 127.0.0.1
    r'"id-token"',  # a permission
    r"in the token: `owner@id/name@id`",
    r"^written_for: ",  # the commit of another repository
    r"https://me:hidden@host/|https://someone:secret@mlflow\.example|hunter2",  # what must not be shown
    r'"admin_password": "-"',  # what stands for none
    r'nonce = "0123456789abcdef"|"the-key"',  # of tests
    r"\brevision\b.{0,4}[0-9a-f]{10}\b",  # of a public repository
    r'"clientSecret": "local"|^ACCOUNT_KEY = "bG9jYWw="',  # what asks for one gets the word "local"
    r'"operation": "[0-9a-f]{16}"',  # by which the double calls a request
)
GUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
MADE_UP = re.compile(r"0{8}-0{4}-0{4}-0{4}-0{4}|0f0f0f0f-1111-2222-3333-4")
# Azure's built-in roles have the same ids in every tenant.
ROLES = {
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168": "Role Based Access Control Administrator",
    "f6c7c914-8db3-469d-8ca1-694a8f32e121": "AzureML Data Scientist",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
    "f1a07417-d97a-45cb-824c-7a7467783830": "Managed Identity Operator",
    "1823dd4f-9b8c-4ab6-ab4e-7397a3684615": "AzureML Registry User",
}


@pytest.fixture(scope="module")
def files():
    """What is in the repository, or would be with the next commit; lock files are nothing but hashes."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no git repository")
    return [name for name in done.stdout.splitlines() if not name.endswith(".lock") and (ROOT / name).is_file()]


def scan(folder, files, *options):
    words = [tool("detect-secrets"), "scan", "--no-verify", *options, *files]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)["results"]
    return [f"{name}:{one['line_number']}: {one['type']}" for name, ones in found.items() for one in ones]


def test_there_is_no_secret(files):
    options = [option for pattern in HARMLESS for option in ("--exclude-lines", pattern)]
    found = scan(ROOT, files, *options)
    assert found == [], "\n".join(found)


def test_the_scanner_would_find_one(tmp_path):
    (tmp_path / "settings.py").write_text(f'STORAGE = "AccountKey={"Zm9vYmFy" * 10}AAAAAA=="\n')
    assert scan(tmp_path, ["settings.py"], "--all-files") == ["settings.py:1: Azure Storage Account access key"]


def test_there_is_no_subscription_id(files):
    """Nor any other GUID: a tenant, a principal, a client."""
    odd = [
        f"{name}: {guid}"
        for name in files
        for guid in GUID.findall((ROOT / name).read_text(encoding="utf-8", errors="ignore"))
        if not MADE_UP.match(guid)
        and not (guid in ROLES and name.startswith(("infra/", "tests/workflows/test_secrets.py")))
    ]
    assert odd == []
