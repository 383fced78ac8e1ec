"""The published catalogue of what API keys may hold, and what roles may allow."""

PERMISSIONS = {
    "read": "Read all resources: records, schemas, catalogs, dimensions, option lists, workflows",
    "update-data": "Create and update records, variants, catalog assignments",
    "delete-data": "Delete records, variants, catalog assignments",
    "update-model": "Create and update schemas, attributes, dimensions, option lists, workflows, roles",
    "delete-model": "Delete schemas, attributes, dimensions, option lists, workflows, roles",
}

# What a role may allow the people who have it.
ROLE_FLAGS = {
    "canManageSchemas": "Create, edit and delete schemas, attributes, workflows, catalogs",
    "canManageRoles": "Create, edit and delete roles and API keys",
    "canManageDimensions": "Create, edit and delete dimensions",
    "canManageOptionLists": "Create, edit and delete option lists",
    "canExport": "Export data",
    "canImport": "Import data",
}
