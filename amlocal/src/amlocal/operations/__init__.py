"""The attributes of LocalMLClient, one file each: they take and return azure-ai-ml's entities, as MLClient's do.

Every `aml` imports all of them. What only some verbs need is imported inside those, for start-up time.
"""
