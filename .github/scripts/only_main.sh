#!/usr/bin/env bash
# Fail unless `main` alone may use an environment:    only_main.sh ENVIRONMENT
#
# Azure trusts the jobs of some environments. GitHub makes one that is missing, open to every branch, and Azure would let
# all of them in. Needs GH_TOKEN, which may read actions, and GH_REPO.
set -euo pipefail

branches=$(gh api "repos/$GH_REPO/environments/$1/deployment-branch-policies" \
    --jq '[.branch_policies[].name] | join(" ")') || branches="every branch, or there is no such environment"
if [[ $branches != main ]]; then
    echo "::error title=The environment $1 is open::it may be used by: $branches. Only main may: docs/azure.md"
    exit 1
fi
