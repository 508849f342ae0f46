"""The section ``[notify]``: takes the words of a job file, gives conditions and ways to tell."""
