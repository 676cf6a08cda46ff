// Two workspaces, and a registry through which a model gets from the one to the other: what is trained in `dev` serves in `prod`.
//
//     az deployment sub create --name digits --location westeurope --parameters infra/promotion.bicepparam
//
// Who needs one workspace deploys main.bicep. How a model is promoted, and what it costs: docs/promotion.md.
targetScope = 'subscription'

@description('Goes into the name of every resource, with dev or prod behind it.')
@minLength(2)
@maxLength(3)
param name string = 'dig'

@description('Where everything stands.')
param location string

@description('Size of the nodes of both clusters.')
param vmSize string = 'Standard_D2as_v4'

@description('Unique in the tenant, and never changed: it stands in the address of every model.')
@minLength(2)
@maxLength(32)
param registryName string = 'mlr-${name}-${uniqueString(subscription().id, name)}'

@description('Object id of the person who deploys, for the roles in dev. In prod nobody but the workflow has any.')
param principalId string = ''

@description('The repository as it stands in GitHub\'s OIDC subject. Empty: no identity for workflows.')
param repository string = ''

@description('Which jobs may sign in to deploy in prod: those of a GitHub environment that only main may use and that has reviewers.')
param productionSubject string = 'environment:production'

@description('Whether workflows may run this deployment themselves, as an identity of their own.')
param workflowsMayDeploy bool = false

@description('Who gets a mail when a job in either workspace fails or warns. Empty: nobody.')
param alertEmail string = ''

@description('What is called then: an https address, which is treated as a secret. Empty: nothing.')
@secure()
param alertWebhook string = ''

var workflows = !empty(repository)

module dev 'main.bicep' = {
  name: '${name}-dev'
  params: {
    name: '${name}dev'
    location: location
    vmSize: vmSize
    principalId: principalId
    repository: repository
    workflowsMayDeploy: workflowsMayDeploy
    alertEmail: alertEmail
    alertWebhook: alertWebhook
  }
}

module prod 'main.bicep' = {
  name: '${name}-prod'
  params: {
    name: '${name}prod'
    location: location
    vmSize: vmSize
    repository: repository
    subject: productionSubject
    alertEmail: alertEmail
    alertWebhook: alertWebhook
  }
}

// A group of its own, so that deleting a workspace's group takes no model from the other.
resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-${name}-registry'
  location: location
  tags: { project: name }
}

module registry 'modules/registry.bicep' = {
  name: '${name}-registry'
  scope: group
  params: {
    registryName: registryName
    location: location
    tags: { project: name }
  }
}

// Workflows that train put models in.
module share 'modules/registry-access.bicep' = if (workflows) {
  name: '${name}-registry-share'
  scope: group
  dependsOn: [
    registry
    dev
  ]
  params: {
    registryName: registryName
    identityName: 'id-${name}dev-github'
    identityGroup: 'rg-${name}dev-github'
    writes: true
  }
}

// Those that deploy in prod take them out and can change none.
module deploy 'modules/registry-access.bicep' = if (workflows) {
  name: '${name}-registry-deploy'
  scope: group
  dependsOn: [
    registry
    prod
  ]
  params: {
    registryName: registryName
    identityName: 'id-${name}prod-github'
    identityGroup: 'rg-${name}prod-github'
  }
}

// So does what runs on the cluster in prod: a batch endpoint's jobs.
module jobs 'modules/registry-access.bicep' = {
  name: '${name}-registry-jobs'
  scope: group
  dependsOn: [
    registry
    prod
  ]
  params: {
    registryName: registryName
    identityName: 'id-${name}prod-jobs'
    identityGroup: 'rg-${name}prod'
  }
}

// Named as those of main.bicep, for dev, so that the workflow `infra` deploys either.
output location string = location
output resourceGroup string = dev.outputs.resourceGroup
output workspace string = dev.outputs.workspace
output clientId string = dev.outputs.clientId
output infraClientId string = dev.outputs.infraClientId
output prodResourceGroup string = prod.outputs.resourceGroup
output prodWorkspace string = prod.outputs.workspace
output prodClientId string = prod.outputs.clientId
output registry string = registryName
