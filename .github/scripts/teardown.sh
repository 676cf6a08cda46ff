#!/usr/bin/env bash
# Take down what costs money:    teardown.sh idle HOURS    teardown.sh everything
#
# An endpoint is idle if Azure Monitor counted no request to it for so many hours, and nobody changed it in them.
# The workspace and its group are named by AZURE_DEFAULTS_WORKSPACE and AZURE_DEFAULTS_GROUP.
set -euo pipefail

workspace=${AZURE_DEFAULTS_WORKSPACE:?}
group=${AZURE_DEFAULTS_GROUP:?}

tell() {
    echo "$1" | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
}

# Whether there is a workspace at all. Only "not found" means no; any other error is one.
exists() {
    local answer
    answer=$(az ml workspace show --name "$workspace" --output none 2>&1) && return
    [[ $answer == *NotFound* ]] || { echo "$answer" >&2 && exit 1; }
    tell "There is no workspace \`$workspace\`: nothing to take down."
    return 1
}

# How many of the last $2 hours saw a request to the endpoint with the id $1.
busy_hours() {
    az monitor metrics list --resource "$1" --metrics RequestsPerMinute --aggregation Average --offset "$2h" \
        --interval 1h --query "length(value[].timeseries[].data[?average > \`0\`][])" --output tsv
}

# Every endpoint, or those idle for $1 hours.
delete_endpoints() {
    local endpoints name id changed busy cutoff=''
    [[ -z ${1:-} ]] || cutoff=$(date --utc --date "-$1 hours" +%FT%T)
    endpoints=$(az ml online-endpoint list --output tsv \
        --query "[].[name, id, properties.lastModifiedAt || properties.createdAt || 'unknown']")
    while IFS=$'\t' read -r -u 3 name id changed; do
        [[ -n $name ]] || continue # no endpoint at all
        if [[ -n $cutoff ]]; then
            if [[ $changed > $cutoff ]]; then # the same order as of the dates; "unknown" is after all of them
                tell "- \`$name\`: kept, it was changed in these hours"
                continue
            fi
            busy=$(busy_hours "$id" "$1")
            if ((busy > 0)); then
                tell "- \`$name\`: kept, it had requests in $busy of these hours"
                continue
            fi
        fi
        az ml online-endpoint delete --name "$name" --yes --output none
        tell "- \`$name\`: deleted"
    done 3<<<"$endpoints"
}

case ${1:-} in
idle)
    [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || { echo "::error::hours must be a whole number above 0, not '${2:-}'" && exit 2; }
    tell "### Endpoints idle for $2 hours"
    exists || exit 0
    delete_endpoints "$2"
    ;;
everything)
    tell "### Everything in \`$group\`"
    exists || exit 0
    vault=$(az ml workspace show --name "$workspace" --query key_vault --output tsv)
    delete_endpoints
    # Without --permanently-delete the name stays taken by a workspace nobody sees, and the next deployment is refused.
    az ml workspace delete --name "$workspace" --permanently-delete --yes --output none
    tell "- workspace \`$workspace\`: deleted for good"
    # Logs are kept for 14 days, and hold their name against another region.
    for logs in $(az monitor log-analytics workspace list --resource-group "$group" --query '[].name' --output tsv); do
        az monitor log-analytics workspace delete --workspace-name "$logs" --resource-group "$group" --force --yes --output none
        tell "- logs \`$logs\`: deleted for good"
    done
    az group delete --name "$group" --yes --output none
    tell "- group \`$group\`: deleted"
    # A deleted Key Vault keeps its name too.
    if az keyvault purge --name "${vault##*/}" --output none; then
        tell "- Key Vault \`${vault##*/}\`: purged"
    else
        tell "- Key Vault \`${vault##*/}\` could not be purged (purge protection?): deploy with another \`suffix\`"
    fi
    ;;
*)
    echo "usage: teardown.sh idle HOURS | everything" >&2
    exit 2
    ;;
esac
