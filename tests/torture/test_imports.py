"""Imports as large as a body can be."""

import json

from test_import import initial_database, shop, table

from sigma.http import errors

__all__ = ["initial_database", "shop"]  # fixtures


def test_as_many_rows_are_previewed_as_a_body_can_hold(shop):
    body = json.dumps({**table(columns={"n": "sku"}), "rows": []}).removesuffix("]}")
    count = (errors.MAX_BODY - len(body) - len("]}")) // len(',{"n":5}')
    text = body + ",".join(['{"n":5}'] * count) + "]}"
    assert errors.MAX_BODY - 10 <= len(text) <= errors.MAX_BODY
    answer = shop.post("/import/preview", data=text, content_type="application/json")
    counts = [answer.json[name] for name in ("totalRows", "validRows", "errorRows")]
    assert counts == [count, 0, count]
    assert count > 130_000
