// A student's subscription: one node of four cores, paid by the minute, and nothing that outlives its deletion.
using './main.bicep'

param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param principalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param repository = readEnvironmentVariable('AZURE_REPOSITORY', '')
param workflowsMayDeploy = bool(readEnvironmentVariable('AZURE_WORKFLOWS_MAY_DEPLOY', 'false'))
