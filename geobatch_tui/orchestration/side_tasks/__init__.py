"""Tasks beside the phases of a run: they watch memory, disks and stores, and send finished outputs
to a store. They take no chunk and no decision about one."""
