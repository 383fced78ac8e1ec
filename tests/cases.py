"""Many cases of one rule in one test."""

import functools
import inspect
import itertools
import os
import shutil
from pathlib import Path

import pytest

from sigma import database


def each(names, cases, ids=None):
    """Return a decorator that calls a test with each case, as pytest.mark.parametrize does, but within one item.

    What pytest does around an item takes longer than most cases do. Each case is tried, whatever became of those before it,
    unless pytest is to stop at the first failure. It begins with the database and the settings as the fixtures have left
    them, and its patches end with it. What fails is told with the name of its case.
    """
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    named = _name_cases(names, list(cases), ids)

    def decorator(test):
        wanted = inspect.signature(test).parameters
        fixtures = [name for name in wanted if name not in names]

        @functools.wraps(test)
        def try_each(request, **values):
            __tracebackhide__ = True
            if "request" in fixtures:
                values["request"] = request
            failures, beginning = [], _Beginning(request)
            most = request.config.getoption("maxfail")  # 1 with -x, 0 when there is no limit
            for name, case in named:
                try:
                    _try_case(test, {**values, **case})
                except (Exception, pytest.fail.Exception) as error:
                    error.add_note(f"That was the case {name}")
                    failures.append(error)
                    if len(failures) == most:
                        break
                beginning.restore()
            if len(failures) == 1:
                raise failures[0]
            if failures:
                raise BaseExceptionGroup(f"{len(failures)} of {len(named)} cases", failures)

        try_each.cases = len(named) * getattr(test, "cases", 1)
        try_each.__signature__ = _signature(["request", *(name for name in fixtures if name != "request")])
        return try_each

    return decorator


def _signature(names):
    return inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names])


def _try_case(test, values):
    __tracebackhide__ = True
    with pytest.MonkeyPatch.context() as patch:
        test(**({**values, "monkeypatch": patch} if "monkeypatch" in values else values))


def _name_cases(names, cases, ids):
    """Return of each case what it is called, and its values by their names."""
    given = [None] * len(cases) if ids is None or callable(ids) else [str(id) for id in ids]
    named = []
    for case, own in zip(cases, given, strict=True):
        is_param = isinstance(case, type(pytest.param()))
        values = case.values if is_param else (case,) if len(names) == 1 else case
        id = (case.id if is_param else None) or ("-".join(str(ids(value)) for value in values) if callable(ids) else own)
        arguments = dict(zip(names, values, strict=True))
        shown = ", ".join(f"{name}={repr(value)[:200]}" for name, value in arguments.items())
        named.append((f"{id} ({shown})" if id else shown, arguments))
    return named


class _Beginning:
    """The database and the settings with which each case of a test begins; there is nothing to restore without an app."""

    numbers = itertools.count(1)  # of the copies: no two tests that call each other have one in common

    def __init__(self, request):
        self.app = request.getfixturevalue("app") if "app" in request.fixturenames else None
        if self.app is None:
            return
        self.config = dict(self.app.config)
        path = Path(self.app.config["DATABASE"])
        if _has_log(path):
            database.close_db()  # which writes all of it to the file
        self.database = path.with_name(f"beginning-{next(self.numbers)}.db")
        shutil.copy(path, self.database)
        self._watch(path)

    def _watch(self, path):
        self.path = path
        os.utime(path, (0, 0))  # whatever writes to it later leaves another time

    def restore(self):
        """Give the next case a database as the first one had it, a new one if this one has been written to."""
        if self.app is None:
            return
        current = self.app.config["DATABASE"]
        self.app.config.clear()
        self.app.config.update(self.config)
        self.app.extensions["journal"].clear()
        if current != str(self.path) or not self.path.exists() or self.path.stat().st_mtime or _has_log(self.path):
            database.close_db()
            path = self.database.with_name(f"sigma-{next(self.numbers)}.db")
            shutil.copy(self.database, path)
            self._watch(path)
        self.app.config["DATABASE"] = str(self.path)


def _has_log(path):
    log = Path(f"{path}-wal")
    return log.exists() and log.stat().st_size > 0
