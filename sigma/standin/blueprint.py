"""The blueprint of the stand-in's own routes, below /standin."""

from sigma.http.blueprint import ApiBlueprint

blueprint = ApiBlueprint(
    "Stand-in", "Routes that only the stand-in has, for test suites and demos; the real service does not have them."
)
