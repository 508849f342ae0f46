"""The commands of geobatch, one module each: arguments in, results on stdout, an exit code back."""
