"""The blueprint that the stand-in's own routes share, below /standin."""

from sigma.http.blueprint import ApiBlueprint

blueprint = ApiBlueprint(
    "Stand-in", "What only the stand-in has, for test suites and demos; the real service knows nothing of it."
)
