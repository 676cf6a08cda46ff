// A registry: models, environments and data that workspaces share.
@minLength(2)
@maxLength(32)
param registryName string

param location string
param tags object

// Azure keeps the storage account and the container registry behind it in a group that it manages itself.
resource registry 'Microsoft.MachineLearningServices/registries@2026-09-01' = {
  name: registryName
  location: location
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: {
    publicNetworkAccess: 'Enabled'
    regionDetails: [
      {
        location: location
        storageAccountDetails: [
          {
            systemCreatedStorageAccount: {
              storageAccountType: 'Standard_LRS'
              storageAccountHnsEnabled: false
            }
          }
        ]
        acrDetails: [
          {
            systemCreatedAcrAccount: { acrAccountSku: 'Premium' }
          }
        ]
      }
    ]
  }
}
