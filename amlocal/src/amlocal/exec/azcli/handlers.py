"""What the `az` of `aml exec` answers where the target is local: as a script or a workflow's step expects.

There is nobody to sign in to and nothing to provision. What a command creates is kept as a record in the workspace, so
that a later command reads it back; what it does not do it says on stderr. The commands take az's flags, fail where az
would fail for a reason that is to be seen here (a file, a name that is not there), and return what az prints, so that
`--query` and `-o` work.
"""

from amlocal.exec.azcli import account, deployments, directory, resources, storage
from amlocal.exec.azcli.given import Handler

COMMANDS: dict[str, Handler] = {
    **account.COMMANDS,
    **deployments.COMMANDS,
    **directory.COMMANDS,
    **resources.COMMANDS,
    **storage.COMMANDS,
}

# How az writes what a command answers with `-o table`, where that is not simply its plain fields.
TABLES = {
    "account list": "[].{Name: name, CloudName: environmentName, SubscriptionId: id, TenantId: tenantId, State: state,"
    " IsDefault: isDefault}",
    "group list": "[].{Name: name, Location: location, Status: properties.provisioningState}",
}
