"""Sigma PIM, embedded: what app.py is made of."""
