"""What planning has workers look at in parts, and keeps: large groups of files, and all pixels of a
raster. It takes tasks to whoever asks workers, and gives what probes need not look at again."""
