"""From a job to its result: plan, run, state, workers, and the commands that programs call."""
