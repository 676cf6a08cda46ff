// The least that working in the workspace without keys takes, for one principal: a person, the jobs, or the workflows.
param principalId string

@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string

param workspaceName string
param storageName string
param registryName string
param jobsIdentityName string

@description('Whether the principal looks after endpoints, too: reads their metrics, and may have them run as the jobs\' identity.')
param keepsEndpoints bool = true

@description('Whether the principal runs jobs. Parallel ones keep their queue and their state in the storage account.')
param runsJobs bool = false

// Azure's built-in roles; the ids are the same in every tenant.
var roles = {
  dataScientist: 'f6c7c914-8db3-469d-8ca1-694a8f32e121' // AzureML Data Scientist: jobs, assets and endpoints, but no compute and no settings
  blobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe' // Storage Blob Data Contributor: code up, artifacts down
  acrPull: '7f951dda-4ed3-4680-a7ca-43fe172d538d' // AcrPull: the images of environments
  reader: 'acdd72a7-3385-48ef-bd42-f606fba81ae7' // Reader: the metrics of endpoints, which is how an idle one is told
  tableContributor: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3' // Storage Table Data Contributor: parallel jobs
  queueContributor: '974c5e8b-45b9-4653-ba55-5f855dd0fb88' // Storage Queue Data Contributor: parallel jobs
  identityOperator: 'f1a07417-d97a-45cb-824c-7a7467783830' // Managed Identity Operator: to name the jobs' identity in an endpoint
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2026-09-01' existing = { name: workspaceName }
resource storage 'Microsoft.Storage/storageAccounts@2026-09-01' existing = { name: storageName }
resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = { name: registryName }
resource jobs 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = { name: jobsIdentityName }

resource useWorkspace 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, principalId, roles.dataScientist)
  scope: workspace
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.dataScientist)
  }
}

resource useBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(storage.id, principalId, roles.blobDataContributor)
  scope: storage
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataContributor)
  }
}

resource pullImages 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, principalId, roles.acrPull)
  scope: registry
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.acrPull)
  }
}

resource readMetrics 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (keepsEndpoints) {
  name: guid(workspace.id, principalId, roles.reader)
  scope: workspace
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.reader)
  }
}

resource lendIdentity 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (keepsEndpoints) {
  name: guid(jobs.id, principalId, roles.identityOperator)
  scope: jobs
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.identityOperator)
  }
}

resource useTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (runsJobs) {
  name: guid(storage.id, principalId, roles.tableContributor)
  scope: storage
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.tableContributor)
  }
}

resource useQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (runsJobs) {
  name: guid(storage.id, principalId, roles.queueContributor)
  scope: storage
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.queueContributor)
  }
}
