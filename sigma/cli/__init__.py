"""The command line: the commands of `flask`, and what `make` runs before `flask` is installed."""
