"""The job and its layers: schema, files, environment and flags; each value with its origin."""
