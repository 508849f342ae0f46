"""Widgets of screens, each painted from plain values."""
