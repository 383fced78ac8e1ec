"""The command line: what `flask` does, and what `make` does before there is a `flask`."""
