"""Traffic for an endpoint, played from a scenario."""
