"""The screens, one a module, with their keys; all of a run they have from its link."""
