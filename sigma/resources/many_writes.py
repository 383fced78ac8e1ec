"""How an import writes: what its rows make and change is gathered, and stored with one statement for each table."""

from typing import Any

from sigma.context import context
from sigma.database import get_db
from sigma.http.errors import MAX_BODY
from sigma.http.stamps import utc_now
from sigma.http.strict_json import to_json
from sigma.resources.entities import Entity
from sigma.resources.history import log_changes
from sigma.resources.outbox import Change
from sigma.resources.records import new_record
from sigma.resources.role_limits import caller_levels
from sigma.resources.rules import SchemaRules
from sigma.resources.writes import changed_body, require_writable

# What is gathered before it is stored: records, and characters of them. More would save nothing, and take memory.
MOST_RECORDS, MOST_CHARACTERS = 500, MAX_BODY
# One statement for all new records, given as a JSON array of their texts: SQLite notes how to undo a statement whose triggers
# write, too, and for as many statements as records this would take as long as the writing.
CREATE = "INSERT INTO entities (tenant, schema_id, body) SELECT ?, ?, value FROM json_each(?)"
EVERYWHERE = "{}"  # the scope of all values that an import writes, as unique_values has it


class ManyWrites:
    """Records of one schema that are made and changed, each at most once before all is stored.

    Their values were checked, and all have the scope {}. They are stored in their order, by store(), in the transaction under
    way: until then, the database does not show them.
    """

    def __init__(self, rules: SchemaRules):
        self.rules, self.tenant = rules, context().tenant
        self.start()

    def start(self) -> None:
        """Forget what was gathered."""
        self.changes: list[Change] = []
        self.updated: set[str] = set()  # ids
        self.aliases: dict[str, None] = {}  # of the attributes that are written
        self.freed: list[tuple[str, str, str, str]] = []
        self.claimed: list[tuple[str, str, str, str, str]] = []
        self.characters = 0

    def create(self, id: str, values: dict[str, Any], changes: list[dict[str, Any]], claims: dict[str, str]) -> None:
        """Make a record; takes the keys of its unique values by alias."""
        record = new_record(self.rules, id, values)
        self._add(Change("create", record, to_json(record, is_finite=True), record["createdAt"], changes), claims)

    def update(self, entity: Entity, values: dict[str, Any], changes: list[dict[str, Any]], claims: dict[str, str]) -> None:
        """Change a record. Raises ApiError 403 for what its state does not let change."""
        aliases = [change["attribute"] for change in changes]
        require_writable(self.rules, entity.state_id, aliases)
        id, now = entity.body["id"], utc_now()
        self.updated.add(id)
        self.freed += [(self.tenant, id, alias, EVERYWHERE) for alias in aliases if self.rules.attributes[alias].is_unique]
        body = changed_body(entity, {alias: values[alias] for alias in aliases}, now)
        self._add(Change("update", entity.body, to_json(body, is_finite=True), now, changes), claims)

    def _add(self, change: Change, claims: dict[str, str]) -> None:
        id = change.entity["id"]
        self.aliases |= dict.fromkeys(entry["attribute"] for entry in change.changes)
        self.claimed += [(self.tenant, alias, EVERYWHERE, value, id) for alias, value in claims.items()]
        self.changes.append(change)
        self.characters += len(change.text)
        if len(self.changes) >= MOST_RECORDS or self.characters >= MOST_CHARACTERS:
            self.store()

    def store(self) -> None:
        """Store what was gathered, with its history and deliveries. Raises ApiError 403 for what the caller may not write."""
        if not self.changes:
            return
        schema, db = self.rules.schema["id"], get_db()
        caller_levels(schema).require_write(self.aliases)
        made = [change.text for change in self.changes if change.action == "create"]
        db.execute(CREATE, (self.tenant, schema, to_json(made, is_finite=True)))
        db.executemany(
            "UPDATE entities SET body = ? WHERE tenant = ? AND id = ?",
            ((change.text, self.tenant, change.entity["id"]) for change in self.changes if change.action == "update"),
        )
        # A record takes what another has given up, so all is freed first; no record is twice among them.
        # The + keeps SQLite from looking up by that column: an attribute may have any number of claims, a record has few.
        db.executemany(
            "DELETE FROM unique_values WHERE tenant = ? AND entity_id = ? AND +attribute = ? AND +scope = ?", self.freed
        )
        db.executemany(
            "INSERT INTO unique_values (tenant, attribute, scope, value, entity_id) VALUES (?, ?, ?, ?, ?)", self.claimed
        )
        log_changes(self.changes)
        self.start()
