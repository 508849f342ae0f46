"""Job files written: anew from a job, or changed in place."""
