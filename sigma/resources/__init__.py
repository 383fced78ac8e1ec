"""What the API is about: one module for each noun."""
