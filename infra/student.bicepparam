// A student's subscription: one node of four cores, paid by the minute, and nothing that outlives its deletion.
using './main.bicep'

param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param principalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param repository = readEnvironmentVariable('AZURE_REPOSITORY', '')
param vmSize = readEnvironmentVariable('AZURE_VM_SIZE', 'Standard_F4s_v2')
param workflowsMayDeploy = bool(readEnvironmentVariable('AZURE_WORKFLOWS_MAY_DEPLOY', 'false'))
