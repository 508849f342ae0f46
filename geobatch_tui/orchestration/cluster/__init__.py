"""The workers of a run on the nodes of a Dask cluster: takes tasks as a pool does, sends them as
leases, and gives a pool's events back."""
