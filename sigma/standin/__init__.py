"""What the real service has not: the demo, workspaces for tests, and who one is."""
