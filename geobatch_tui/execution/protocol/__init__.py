"""What the engine and a worker send each other: tasks, receipts, failures, and the frames that
carry them; never pixels."""
