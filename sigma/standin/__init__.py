"""What only the stand-in has: the demo, workspaces for tests, the journal of requests, faults of keys, and whoami."""
