"""The nouns of the model, each of which stands here once for all tests that go through them.

Written by hand: nothing here is read from the service. A new noun is one more entry, at the end of NOUNS.
"""

from dataclasses import dataclass

from cases import each


@dataclass(frozen=True)
class Noun:
    path: str
    kind: str  # as messages call it
    demo_id: str  # of one that the demo workspace holds
    flag: str  # of the roles of those who may write
    full: dict  # every member, in the order of the documentation
    minimal: dict
    defaults: dict  # what an answer adds to `minimal`
    order: tuple  # of the members in the answer to `minimal`
    wrong: tuple = ()  # (path of a member in `full`, a value of the wrong type, what the message expects instead)
    required: tuple = ("id", "alias", "name")
    nullable: tuple = ()  # members for which null is like leaving them out
    is_used: bool = True  # whether the demo's is referred to by something that another workspace's copy has, too
    keys_may_write: bool = True  # with `update-model` and `delete-model`

    @property
    def id(self):
        return self.full["id"]

    @property
    def name(self):
        return self.path[1:]

    @property
    def tag(self):
        """The group of its operations in the documentation."""
        return self.name.replace("-", " ").title()

    @property
    def url(self):
        return f"{self.path}/{self.id}"

    @property
    def demo_url(self):
        return f"{self.path}/{self.demo_id}"

    @property
    def minimal_answer(self):
        members = {**self.minimal, **self.defaults}
        return {name: members[name] for name in self.order}

    @property
    def operations(self):
        """The five that each noun has: method, path, the permission that a key needs, and the flag that a role needs."""
        update, delete = ("update-model", "delete-model") if self.keys_may_write else (None, None)
        return (
            ("GET", self.path, "read", None),
            ("GET", f"{self.path}/:id", "read", None),
            ("POST", self.path, update, self.flag),
            ("PUT", f"{self.path}/:id", update, self.flag),
            ("DELETE", f"{self.path}/:id", delete, self.flag),
        )

    @property
    def operation_ids(self):
        """What generated clients call these five."""
        many = self.name.replace("-", "_")
        return " ".join((f"list_{many}", *(f"{verb}_{many[:-1]}" for verb in ("create", "get", "replace", "delete"))))


SCHEMA = Noun(
    path="/schemas",
    kind="Schema",
    demo_id="schema-apparel",
    flag="canManageSchemas",
    full={
        "id": "schema-shoes",
        "alias": "shoes",
        "name": "Shoes",
        "description": "What feet wear",
        "icon": "boot",
        "variantEnabled": True,
        "workflowId": "wf-standard",
        "attributeGroups": [
            {"id": "grp-main", "name": "Main", "sortOrder": 1, "attributeIds": ["attr-sku", "attr-price"]},
            {"id": "grp-rest", "name": "Rest", "sortOrder": 2.5, "attributeIds": []},
        ],
    },
    minimal={"id": "schema-shoes", "alias": "shoes", "name": "Shoes", "variantEnabled": False, "attributeGroups": []},
    defaults={},
    order=("id", "alias", "name", "variantEnabled", "attributeGroups"),
    wrong=(
        ("description", 5, "string"),
        ("icon", ["boot"], "string"),
        ("variantEnabled", "yes", "true or false"),
        ("variantEnabled", 1, "true or false"),
        ("workflowId", 5, "string"),
        ("attributeGroups", "grp-main", "list|array"),
        ("attributeGroups[0]", "grp-main", "object"),
        ("attributeGroups[1].id", 7, "string"),
        ("attributeGroups[1].name", True, "string"),
        ("attributeGroups[1].sortOrder", "2", "number"),
        ("attributeGroups[1].sortOrder", True, "number"),
        ("attributeGroups[1].attributeIds", {"0": "attr-sku"}, "list|array"),
        ("attributeGroups[0].attributeIds[1]", 5, "string"),
        ("attributeGroups[0].attributeIds[1]", None, "null"),
    ),
    required=("id", "alias", "name", "variantEnabled"),
    nullable=("description", "icon", "workflowId"),
)
ATTRIBUTE = Noun(
    path="/attributes",
    kind="Attribute",
    demo_id="attr-sku",
    flag="canManageSchemas",
    full={
        "id": "attr-finish",
        "alias": "finish",
        "name": "Finish",
        "type": "option",
        "dimensionIds": ["dim-market", "dim-language"],
        "inheritable": False,
        "validation": {"required": True, "maxLength": 10, "min": -1, "max": 2.5, "pattern": "^[a-z]+$", "unique": True},
        "guards": [
            {"attributeId": "attr-color", "operator": "in", "value": ["val-red", "val-navy"]},
            {"attributeId": "attr-waterproof", "operator": "equals", "value": True},
        ],
        "optionListId": "ol-colors",
        "multiple": True,
    },
    minimal={"id": "attr-finish", "alias": "finish", "name": "Finish", "type": "text"},
    defaults={"dimensionIds": [], "inheritable": True, "validation": {}, "guards": [], "multiple": False},
    order=("id", "alias", "name", "type", "dimensionIds", "inheritable", "validation", "guards", "multiple"),
    wrong=(
        ("type", 5, "string"),
        ("type", "colour", "text, number, boolean, datetime, media, option, relation, complex"),
        ("dimensionIds", "dim-market", "list|array"),
        ("dimensionIds[1]", 5, "string"),
        ("inheritable", "no", "true or false"),
        ("validation", [], "object"),
        ("validation.required", "yes", "true or false"),
        ("validation.maxLength", "10", "integer|whole number"),
        ("validation.maxLength", 2.5, "integer|whole number"),
        ("validation.maxLength", True, "integer|whole number"),
        ("validation.min", "1", "number"),
        ("validation.max", False, "number"),
        ("validation.pattern", 5, "string"),
        ("validation.unique", 1, "true or false"),
        ("guards", {}, "list|array"),
        ("guards[1]", "attr-color", "object"),
        ("guards[1].attributeId", 5, "string"),
        ("guards[1].operator", "like", "equals, notEquals, isEmpty, isNotEmpty, in"),
        ("optionListId", 5, "string"),
        ("multiple", "yes", "true or false"),
    ),
    required=("id", "alias", "name", "type"),
    nullable=("optionListId", "validation.maxLength", "validation.pattern"),
)
DIMENSION = Noun(
    path="/dimensions",
    kind="Dimension",
    demo_id="dim-market",
    flag="canManageDimensions",
    full={
        "id": "dim-channel",
        "alias": "channel",
        "name": "Channel",
        "defaultSegmentId": "seg-web",
        "segments": [
            {"id": "seg-print", "alias": "print", "name": "Print", "isDefault": False},
            {"id": "seg-web", "alias": "web", "name": "Web", "isDefault": True},
        ],
    },
    minimal={
        "id": "dim-channel",
        "alias": "channel",
        "name": "Channel",
        "defaultSegmentId": "seg-app",
        "segments": [{"id": "seg-app", "alias": "app", "name": "App"}],
    },
    defaults={"segments": [{"id": "seg-app", "alias": "app", "name": "App", "isDefault": True}]},
    order=("id", "alias", "name", "defaultSegmentId", "segments"),
    wrong=(
        ("defaultSegmentId", 5, "string"),
        ("segments", {}, "list|array"),
        ("segments[1]", "seg-web", "object"),
        ("segments[1].id", 5, "string"),
        ("segments[1].id", "a/b", "letters"),
        ("segments[1].alias", 5, "string"),
        ("segments[1].name", [], "string"),
        ("segments[1].isDefault", "yes", "true or false"),
    ),
    required=("id", "alias", "name", "defaultSegmentId", "segments"),
)
OPTION_LIST = Noun(
    path="/option-lists",
    kind="Option list",
    demo_id="ol-colors",
    flag="canManageOptionLists",
    full={
        "id": "ol-woods",
        "alias": "woods",
        "name": "Woods",
        "hierarchical": True,
        "values": [
            {"id": "val-oak", "alias": "oak", "label": "Oak", "sortOrder": 1, "color": "#aa8855"},
            {"id": "val-red-oak", "alias": "red-oak", "label": "Red oak", "sortOrder": 2.5, "parentId": "val-oak"},
        ],
    },
    minimal={"id": "ol-woods", "alias": "woods", "name": "Woods", "values": []},
    defaults={"hierarchical": False},
    order=("id", "alias", "name", "hierarchical", "values"),
    wrong=(
        ("hierarchical", "yes", "true or false"),
        ("values", "val-oak", "list|array"),
        ("values[1]", "val-oak", "object"),
        ("values[1].id", 5, "string"),
        ("values[1].alias", 5, "string"),
        ("values[1].id", "a/b", "letters"),
        ("values[1].label", {}, "string"),
        ("values[1].label", "  ", "blank"),
        ("values[1].sortOrder", "1", "number"),
        ("values[1].sortOrder", True, "number"),
        ("values[1].color", 0, "string"),
        ("values[1].parentId", 5, "string"),
    ),
    nullable=("values[0].color", "values[0].parentId"),
)
WORKFLOW = Noun(
    path="/workflows",
    kind="Workflow",
    demo_id="wf-standard",
    flag="canManageSchemas",
    full={
        "id": "wf-quick",
        "alias": "quick",
        "name": "Quick",
        "description": "Two steps",
        "defaultStateId": "state-open",
        "states": [
            {"id": "state-open", "name": "Open", "color": "#00ff00", "hidden": ["care"], "required": ["sku"], "readOnly": []},
            {"id": "state-done", "name": "Done", "color": "#0000ff", "hidden": [], "required": [], "readOnly": ["sku"]},
        ],
        "transitions": [
            {
                "id": "tr-finish",
                "name": "Finish",
                "fromStateId": "state-open",
                "toStateId": "state-done",
                "allowedRoleIds": ["role-admin", "role-editor"],
                "requiresCompleteness": 80,
            }
        ],
    },
    minimal={
        "id": "wf-quick",
        "alias": "quick",
        "name": "Quick",
        "defaultStateId": "state-open",
        "states": [{"id": "state-open", "name": "Open"}],
        "transitions": [],
    },
    defaults={"states": [{"id": "state-open", "name": "Open", "hidden": [], "required": [], "readOnly": []}]},
    order=("id", "alias", "name", "defaultStateId", "states", "transitions"),
    wrong=(
        ("description", 5, "string"),
        ("defaultStateId", 5, "string"),
        ("states", {}, "list|array"),
        ("states[1]", "state-done", "object"),
        ("states[1].id", 5, "string"),
        ("states[1].name", 5, "string"),
        ("states[1].color", 5, "string"),
        ("states[1].hidden", "sku", "list|array"),
        ("states[1].required[0]", 5, "string"),
        ("states[1].readOnly", {"sku": True}, "list|array"),
        ("transitions", {}, "list|array"),
        ("transitions[0]", "tr-finish", "object"),
        ("transitions[0].id", 5, "string"),
        ("transitions[0].name", 5, "string"),
        ("transitions[0].fromStateId", 5, "string"),
        ("transitions[0].toStateId", [], "string"),
        ("transitions[0].allowedRoleIds", "role-admin", "list|array"),
        ("transitions[0].allowedRoleIds[1]", 5, "string"),
        ("transitions[0].requiresCompleteness", "80", "number"),
        ("transitions[0].requiresCompleteness", True, "number"),
        ("transitions[0].requiresCompleteness", None, "null"),
        ("transitions[0].requiresCompleteness", -1, "0"),
        ("transitions[0].requiresCompleteness", 100.5, "100"),
    ),
    required=("id", "alias", "name", "defaultStateId", "states"),
    nullable=("description", "states[0].color"),
)
ROLE = Noun(
    path="/roles",
    kind="Role",
    demo_id="role-editor",
    is_used=False,
    flag="canManageRoles",
    full={
        "id": "role-buyer",
        "name": "Buyer",
        "description": "Buys",
        "canManageSchemas": True,
        "canManageRoles": True,
        "canManageDimensions": False,
        "canManageOptionLists": True,
        "canExport": False,
        "canImport": True,
        "schemaPermissions": [
            {"schemaId": "schema-apparel", "attributePermissions": {"sku": "write", "price": "hidden", "color": "read"}}
        ],
        "catalogPermissions": [
            {"catalogId": "cat-webshop", "canView": True, "canAssign": False},
            {"catalogId": "cat-marketplace", "canView": False, "canAssign": False},
        ],
    },
    minimal={"id": "role-buyer", "name": "Buyer"},
    defaults={
        "canManageSchemas": False,
        "canManageRoles": False,
        "canManageDimensions": False,
        "canManageOptionLists": False,
        "canExport": False,
        "canImport": False,
        "schemaPermissions": [],
        "catalogPermissions": [],
    },
    order=(
        "id",
        "name",
        "canManageSchemas",
        "canManageRoles",
        "canManageDimensions",
        "canManageOptionLists",
        "canExport",
        "canImport",
        "schemaPermissions",
        "catalogPermissions",
    ),
    wrong=(
        ("description", 5, "string"),
        ("canManageSchemas", "yes", "true or false"),
        ("canManageRoles", 1, "true or false"),
        ("canManageDimensions", 0, "true or false"),
        ("canManageOptionLists", [], "true or false"),
        ("canExport", "true", "true or false"),
        ("canExport", None, "null"),
        ("canImport", {}, "true or false"),
        ("schemaPermissions", {}, "list|array"),
        ("schemaPermissions[0]", "schema-apparel", "object"),
        ("schemaPermissions[0].schemaId", 5, "string"),
        ("schemaPermissions[0].attributePermissions", [], "object|mapping"),
        ("schemaPermissions[0].attributePermissions.price", "none", "write, read, hidden"),
        ("schemaPermissions[0].attributePermissions.price", 5, "string"),
        ("schemaPermissions[0].attributePermissions.price", None, "null"),
        ("catalogPermissions", "cat-webshop", "list|array"),
        ("catalogPermissions[1]", 5, "object"),
        ("catalogPermissions[1].catalogId", 5, "string"),
        ("catalogPermissions[1].canView", "yes", "true or false"),
        ("catalogPermissions[1].canAssign", 1, "true or false"),
    ),
    required=("id", "name"),
    nullable=("description",),
)
CATALOG = Noun(
    path="/catalogs",
    kind="Catalog",
    demo_id="cat-webshop",
    flag="canManageSchemas",
    full={"id": "cat-outlet", "alias": "outlet", "name": "Outlet", "description": "What did not sell"},
    minimal={"id": "cat-outlet", "alias": "outlet", "name": "Outlet"},
    defaults={},
    order=("id", "alias", "name"),
    wrong=(("description", 5, "string"),),
    nullable=("description",),
    keys_may_write=False,
)
# In an order in which they can be made: each refers to those before it.
NOUNS = (DIMENSION, OPTION_LIST, ATTRIBUTE, ROLE, WORKFLOW, SCHEMA, CATALOG)
WITH_ALIAS = tuple(noun for noun in NOUNS if "alias" in noun.required)
LISTS = tuple(noun.name for noun in NOUNS)
DEMO_IDS = {noun.name: noun.demo_id for noun in NOUNS}

each_noun = each("noun", NOUNS, ids=lambda noun: noun.name)
each_noun_with_alias = each("noun", WITH_ALIAS, ids=lambda noun: noun.name)
