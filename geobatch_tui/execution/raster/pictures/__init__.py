"""Small pictures for the eye: takes a window of a source or of a step's result, gives colours."""
