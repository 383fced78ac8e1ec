"""The blueprint of the stand-in's own routes."""

from sigma.http.blueprint import ApiBlueprint

blueprint = ApiBlueprint(
    "Stand-in", "What only the stand-in has, for test suites and demos; the real service knows nothing of it."
)
