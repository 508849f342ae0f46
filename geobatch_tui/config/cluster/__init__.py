"""The section of a job that says on which cluster its workers run."""
