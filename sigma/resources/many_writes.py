"""How an import writes: what its rows make and change is gathered, and stored with one statement for each table."""

from collections.abc import Iterable, Mapping
from typing import Any

from sigma.context import context
from sigma.database import get_db
from sigma.http.errors import MAX_BODY
from sigma.http.stamps import utc_now
from sigma.http.strict_json import to_json
from sigma.resources.entities import Entity
from sigma.resources.history import Log
from sigma.resources.records import new_record
from sigma.resources.role_limits import caller_levels
from sigma.resources.rules import SchemaRules
from sigma.resources.unique_values import scope_text
from sigma.resources.writes import changed_body, require_unlocked

# What is gathered before it is stored: records, and characters of them. More would save nothing, and take memory.
MOST_RECORDS, MOST_CHARACTERS = 500, MAX_BODY
# One statement for all new records, given as a JSON array of their texts: SQLite notes how to undo a statement whose triggers
# write, too, and for as many statements as records this would take as long as the writing.
CREATE = "INSERT INTO entities (tenant, schema_id, body) SELECT ?, ?, value FROM json_each(?)"
EVERYWHERE = scope_text({})  # the scope of all values that an import writes


class ManyWrites:
    """Records of one schema that are made and changed, each at most once before all is stored.

    Their values were checked, and all have the scope {}. They are stored in their order, by store(), in the transaction under
    way: until then, the database does not show them. Only texts are kept: the garbage collector would examine all the objects
    of hundreds of records again and again, which took an eighth of an import.
    """

    def __init__(self, rules: SchemaRules):
        self.rules, self.tenant = rules, context().tenant
        self.start()

    def start(self) -> None:
        """Forget what was gathered."""
        self.created: list[str] = []  # texts
        self.updated: dict[str, str] = {}  # texts by id
        self.aliases: set[str] = set()  # of the attributes that are written
        self.freed: list[tuple[str, str, str, str]] = []  # rows of unique_values
        self.claimed: list[tuple[str, str, str, str, str]] = []
        self.log = Log()
        self.characters = 0

    def create(self, id: str, values: dict[str, Any], changes: list[dict[str, Any]], claims: Mapping[str, str]) -> None:
        """Make a record; takes the keys of its unique values by alias."""
        record = new_record(self.rules, id, values)
        self.created.append(text := to_json(record, is_finite=True))
        self.log.add("create", record, text, record["createdAt"], changes)
        self._note(id, text, values, claims)

    def update(self, entity: Entity, values: dict[str, Any], changes: list[dict[str, Any]], claims: Mapping[str, str]) -> None:
        """Change a record. Raises ApiError 403 for what its state does not let change."""
        new = {change["attribute"]: values[change["attribute"]] for change in changes}
        require_unlocked(self.rules, entity.state_id, new)
        id, now = entity.body["id"], utc_now()
        self.updated[id] = text = to_json(changed_body(entity, new, now), is_finite=True)
        self.freed += [(self.tenant, id, alias, EVERYWHERE) for alias in new if self.rules.attributes[alias].is_unique]
        self.log.add("update", entity.body, text, now, changes)
        self._note(id, text, new, claims)

    def _note(self, id: str, text: str, values: Iterable[str], claims: Mapping[str, str]) -> None:
        self.aliases.update(values)
        self.claimed += [(self.tenant, alias, EVERYWHERE, key, id) for alias, key in claims.items()]
        self.characters += len(text)
        if len(self.log.entries) >= MOST_RECORDS or self.characters >= MOST_CHARACTERS:
            self.store()

    def store(self) -> None:
        """Store what was gathered, with its history and deliveries. Raises ApiError 403 for what the caller may not write."""
        if not self.log.entries:
            return
        schema, db = self.rules.schema["id"], get_db()
        caller_levels(schema).require_write(sorted(self.aliases))
        db.execute(CREATE, (self.tenant, schema, to_json(self.created, is_finite=True)))
        db.executemany(
            "UPDATE entities SET body = ? WHERE tenant = ? AND id = ?",
            ((text, self.tenant, id) for id, text in self.updated.items()),
        )
        # A record takes what another has given up, so all is freed first; no record is twice among them.
        # The + keeps SQLite from looking up by that column: an attribute may have any number of claims, a record has few.
        db.executemany(
            "DELETE FROM unique_values WHERE tenant = ? AND entity_id = ? AND +attribute = ? AND +scope = ?", self.freed
        )
        db.executemany(
            "INSERT INTO unique_values (tenant, attribute, scope, value, entity_id) VALUES (?, ?, ?, ?, ?)", self.claimed
        )
        self.log.store()
        self.start()
