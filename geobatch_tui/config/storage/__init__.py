"""The section of stores in a job file: a table for each bucket or host, without secrets."""
