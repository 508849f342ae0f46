"""Takes a run as it stands; gives panels that are as large as what they hold."""
