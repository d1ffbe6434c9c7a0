"""What everything stands on: errors, files, registries, stores, threads."""
