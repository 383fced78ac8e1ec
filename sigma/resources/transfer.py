"""What import and export share: their blueprint, and the column of record ids."""

from sigma.http.blueprint import ApiBlueprint

blueprint = ApiBlueprint("Import & Export", "Records as the rows of a table, one value for each attribute.")

ID = "_id"  # what a column of record ids is mapped to, and its name in an export
