"""HTTP: who may call what, and how requests are read and answered."""
