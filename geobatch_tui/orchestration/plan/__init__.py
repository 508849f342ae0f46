"""The plan of a job: takes its inputs and the machine's resources, and gives items and chunks with
fingerprints."""
