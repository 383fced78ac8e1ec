"""What Sigma PIM documents and this service does not have: it answers 501, so that nobody looks for a mistyped path."""

from typing import Any

from sigma.http.access import ANY_METHOD, documented_only
from sigma.http.blueprint import ApiBlueprint

blueprint = ApiBlueprint("Not built", "What the real service has, and this one has not.")

NOT_BUILT = {  # by the path that all its paths are below of
    "/export-jobs": "the sending of exports to S3, Azure, SFTP or a webhook on a schedule",
    "/channels": "the synchronisation of records with shops such as Shopify and Amazon",
    "/change-sets": "the review of changes before they are applied",
}


def _add_refusal(path: str, feature: str) -> None:
    for place, rule in enumerate((path, f"{path}/", f"{path}/<path:rest>")):

        @blueprint.route(rule, methods=ANY_METHOD, endpoint=f"{path.strip('/')}_{place}")
        @documented_only(f"{path}, {feature}")
        def do_nothing(**_: Any) -> None:
            """Do nothing: the guard lets nobody through to this."""


for _path, _feature in NOT_BUILT.items():
    _add_refusal(_path, _feature)
