"""The engine: takes a job, plans and runs it on workers, and gives its state and result."""
