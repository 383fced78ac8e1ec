"""The routes that Sigma PIM documents and this service lacks: they return 501, so that nobody looks for a mistyped path."""

from typing import Any

from sigma.http.access import ANY_METHOD, documented_only
from sigma.http.blueprint import ApiBlueprint

blueprint = ApiBlueprint("Not built", "What the real service has and this one lacks.")

NOT_BUILT = {  # by the path that all paths of the feature begin with
    "/export-jobs": "the sending of exports to S3, Azure, SFTP or a webhook on a schedule",
    "/channels": "the synchronisation of records with shops such as Shopify and Amazon",
    "/change-sets": "the review of changes before they are applied",
}


def _add_refusal(path: str, feature: str) -> None:
    for index, rule in enumerate((path, f"{path}/", f"{path}/<path:rest>")):

        @blueprint.route(rule, methods=ANY_METHOD, endpoint=f"{path.strip('/')}_{index}")
        @documented_only(f"{path}, {feature}")
        def do_nothing(**_: Any) -> None:
            """Do nothing: the guard lets no request through to this view."""


for _path, _feature in NOT_BUILT.items():
    _add_refusal(_path, _feature)
