"""The attributes of LocalMLClient, one file each: they take and return azure-ai-ml's entities, as MLClient's do."""
