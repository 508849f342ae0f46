"""The surroundings of a task in its worker: environment, sandbox, drivers, meter, recorder, and the
classes of errors."""
