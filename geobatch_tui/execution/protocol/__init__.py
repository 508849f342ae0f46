"""Messages between the engine and a worker: tasks, receipts and failures, and the frames that carry
them; never pixels."""
