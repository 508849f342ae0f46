"""Pictures of features for the eye: takes geometries that may be damaged, gives dots."""
