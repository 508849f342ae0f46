"""What runs in the Dask workers: takes the engine's orders by name, has leases done in processes of
its node, and gives answers as events."""
