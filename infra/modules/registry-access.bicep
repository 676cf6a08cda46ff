// What using a registry takes, for one identity: reading models, or putting them in as well.
param registryName string
param identityName string

@description('The group that the identity is in.')
param identityGroup string

@description('Whether it puts models in, and may delete them.')
param writes bool = false

// Azure's built-in roles; the ids are the same in every tenant.
var roles = {
  registryUser: '1823dd4f-9b8c-4ab6-ab4e-7397a3684615' // AzureML Registry User: reads and writes assets, and leaves the registry as it is
  reader: 'acdd72a7-3385-48ef-bd42-f606fba81ae7' // Reader: reads them
}
var role = writes ? roles.registryUser : roles.reader

resource registry 'Microsoft.MachineLearningServices/registries@2026-09-01' existing = { name: registryName }
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
  scope: resourceGroup(identityGroup)
}

resource useRegistry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, identity.id, role)
  scope: registry
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
  }
}
