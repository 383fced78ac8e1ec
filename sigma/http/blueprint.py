"""The blueprints: flask-smorest's, with this service's way to read a body."""

import functools
from collections.abc import Callable
from typing import Any

import marshmallow as ma
from flask_smorest import Blueprint

from sigma.http.bodies import read_body
from sigma.http.errors import ERRORS


class BodyParser:
    """What flask-smorest asks to read a view's body, in place of webargs.

    webargs does not read JSON strictly, nor name the field in its messages as this service does, and takes as long as a
    whole bare request.
    """

    DEFAULT_VALIDATION_STATUS = 400

    def use_args(self, schema: ma.Schema, **_: Any) -> Callable[..., Any]:
        """Return a decorator that gives a view the request's body, checked, as its first argument."""

        def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(view)
            def with_body(**ids: str) -> Any:
                return view(read_body(schema), **ids)

            setattr(with_body, "body", schema)  # noqa: B010 (to a type checker, functions have no such attribute)
            return with_body

        return decorator


def _without_wrapper(decorator: Callable[..., Any]) -> Callable[..., Any]:
    """Return a decorator that declares of a view what flask-smorest's declares, and leaves the view as it is.

    flask-smorest's own puts a function around the view to hold the declaration, and the two of a GET take 3 % of it.
    """

    def declare(view: Callable[..., Any]) -> Callable[..., Any]:
        declared = vars(decorator(view))
        del declared["__wrapped__"]
        vars(view).update(declared)
        return view

    return declare


class ApiBlueprint(Blueprint):
    """The routes of one noun. Its name is their tag in the OpenAPI document, its description says what the tag means."""

    ARGUMENTS_PARSER = BodyParser()

    def __init__(self, name: str, description: str):
        super().__init__(name, __name__, description=description)

    def ready_response(self, status: int, body: Any) -> Callable[..., Any]:
        """Return a decorator that declares the shape of what a view answers that makes the response itself, of JSON text.

        response(), for all others, would look through what it gets to dump it: 3 % of a GET.
        """
        return _without_wrapper(self.alt_response(status, schema=body, success=True))

    @staticmethod
    def doc(**members: Any) -> Callable[..., Any]:
        """Return a decorator that declares members of a view's operation in the OpenAPI document."""
        return _without_wrapper(Blueprint.doc(**members))

    def errors(self, *codes: str) -> Callable[..., Any]:
        """Return a decorator that declares with which codes a view may fail, beside those of its access and its body."""
        return self.doc(responses={ERRORS[code].status: code for code in codes})
