"""The entry scripts of the endpoint and of batch scoring."""
