"""The blueprints, whose views answer what is ready to be sent."""

import functools
from collections.abc import Callable
from typing import Any

import marshmallow as ma
from flask_smorest import Blueprint

from sigma.http.bodies import read_body


@functools.cache
def shared_instance(body: type[ma.Schema]) -> ma.Schema:
    """Return the instance of a body's class that all routes share; to make one for each is a good part of starting."""
    return body()


class ReadyBlueprint(Blueprint):
    """A blueprint whose views answer what is ready to be sent, or nothing; describing them does not slow them down."""

    def arguments(self, schema: ma.Schema, **description: Any) -> Callable[..., Any]:
        """Describe the body that a view takes, as flask-smorest does, and let the view have it, checked."""
        describe = self.without_wrapping(super().arguments(schema, **description))

        def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(describe(view))
            def with_body(**ids: str) -> Any:
                return view(read_body(schema), **ids)

            return with_body

        return decorator

    def doc(self, **description: Any) -> Callable[..., Any]:
        """Describe a view, as flask-smorest does, but do not wrap it."""
        return self.without_wrapping(super().doc(**description))

    def response(self, status_code: int, schema: Any = None, **options: Any) -> Callable[..., Any]:
        """Describe what a view answers, as flask-smorest does, but do not wrap it to dump its answer."""
        document = super().response(status_code, shared_instance(schema) if isinstance(schema, type) else schema, **options)
        return self.without_wrapping(document) if schema is not None else document

    @staticmethod
    def without_wrapping(document: Callable[..., Any]) -> Callable[..., Any]:
        """Return a decorator that takes over what another one writes on a view, and not the wrapper that it makes."""

        def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
            documented = vars(document(view))
            vars(view).update({name: value for name, value in documented.items() if name != "__wrapped__"})
            return view

        return decorator


api = ReadyBlueprint("api", __name__, url_prefix="/api/v1", cli_group=None)


standin = ReadyBlueprint("standin", __name__, url_prefix="/standin", cli_group=None)
