"""The job and its layers: schema, files, environment, flags; each value with its origin."""
