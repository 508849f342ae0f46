"""The worker process: it takes a task, runs it, and answers when the disk has what it wrote."""
