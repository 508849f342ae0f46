"""What a job says of functions of the user: read from their source, which is not run here."""
