"""What has a name or an address: data, environments, components, models, code snapshots."""
