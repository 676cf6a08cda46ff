// A mail before the money is gone. Not part of main.bicep: some kinds of subscription refuse budgets, and a budget must not be able to fail a
// deployment. Once, by hand:
//
//     az deployment sub create --name budget --location westeurope --template-file infra/budget.bicep --parameters amount=20 emails='["me@example.org"]'
targetScope = 'subscription'

@description('A month\'s money, in the currency of the subscription\'s bill.')
@minValue(1)
param amount int

@description('Who is written to.')
@minLength(1)
param emails array

@description('The first day of a month. Azure refuses to change it later: when changing anything else in another month, give the first one again.')
param startDate string = utcNow('yyyy-MM-01')

resource budget 'Microsoft.Consumption/budgets@2026-06-01' = {
  name: 'monthly'
  properties: {
    category: 'Cost'
    amount: amount
    timeGrain: 'Monthly'
    timePeriod: { startDate: startDate }
    notifications: {
      spent: {
        enabled: true
        operator: 'GreaterThan'
        thresholdType: 'Actual'
        threshold: 80
        contactEmails: emails
      }
      expected: {
        enabled: true
        operator: 'GreaterThan'
        thresholdType: 'Forecasted'
        threshold: 100
        contactEmails: emails
      }
    }
  }
}
