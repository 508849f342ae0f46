"""Columns of Arrow as arrays, and back."""
