"""A job that is edited, its plan and its trial, as plain values and text; no widgets."""
