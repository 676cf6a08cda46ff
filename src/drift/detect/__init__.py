"""The detector of changes. Takes arrays, and imports neither digits nor Azure."""
