"""The SQL that upgrades a database from each older version to the next; schema.sql explains the columns.

A table is rebuilt in the steps of https://sqlite.org/lang_altertable.html#otheralter, of which upgrades.migrate() takes the
first and the last. Migrations need not care about the views of schema.sql: all are dropped before the first migration, and
created after the last.
"""

MIGRATIONS = {
    1: """
        ALTER TABLE workspaces ADD COLUMN is_disposable INTEGER NOT NULL DEFAULT 0 CHECK (is_disposable IN (0, 1));
        ALTER TABLE categories ADD COLUMN total INTEGER NOT NULL DEFAULT 0 CHECK (total >= 0);
        UPDATE categories SET total = (
            SELECT count(*) FROM category_assignments a WHERE a.tenant = categories.tenant AND a.category_id = categories.id
        );
        CREATE TRIGGER category_assigned AFTER INSERT ON category_assignments BEGIN
            UPDATE categories SET total = total + 1 WHERE tenant = new.tenant AND id = new.category_id;
        END;
        CREATE TRIGGER category_unassigned AFTER DELETE ON category_assignments BEGIN
            UPDATE categories SET total = total - 1 WHERE tenant = old.tenant AND id = old.category_id;
        END;
    """,
    2: """
        ALTER TABLE users ADD COLUMN sessions_from INTEGER NOT NULL DEFAULT 0;
    """,
    # Permissions and kinds are no longer listed in CHECKs. Unique values get a new form; where two stored values become the
    # same one, the first keeps the claim.
    3: """
        CREATE TABLE new_api_keys (
            seq             INTEGER PRIMARY KEY,
            tenant          TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
            id              TEXT NOT NULL,
            name            TEXT NOT NULL CHECK (name <> ''),
            hash            BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
            permissions     TEXT NOT NULL CHECK (json_array_length(permissions) >= 1),
            created_at      TEXT NOT NULL,
            last_used_at    TEXT,
            deactivated_at  TEXT,
            is_active       INTEGER NOT NULL GENERATED ALWAYS AS (deactivated_at IS NULL) VIRTUAL,
            UNIQUE (tenant, id)
        ) STRICT;
        INSERT INTO new_api_keys (seq, tenant, id, name, hash, permissions, created_at, last_used_at, deactivated_at)
            SELECT seq, tenant, id, name, hash, permissions, created_at, last_used_at, deactivated_at FROM api_keys;
        DROP TABLE api_keys;
        ALTER TABLE new_api_keys RENAME TO api_keys;

        CREATE TABLE new_model_objects (
            seq     INTEGER PRIMARY KEY,
            tenant  TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
            kind    TEXT NOT NULL,
            body    TEXT NOT NULL CHECK (json_valid(body)),
            id      TEXT NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.id')) STORED,
            alias   TEXT          GENERATED ALWAYS AS (json_extract(body, '$.alias')) STORED,
            UNIQUE (tenant, kind, id),
            UNIQUE (tenant, kind, alias)
        ) STRICT;
        INSERT INTO new_model_objects (seq, tenant, kind, body) SELECT seq, tenant, kind, body FROM model_objects;
        DROP TABLE model_objects;
        ALTER TABLE new_model_objects RENAME TO model_objects;
        CREATE TRIGGER model_inserted AFTER INSERT ON model_objects BEGIN
            UPDATE workspaces SET model_version = randomblob(16) WHERE id = new.tenant;
        END;
        CREATE TRIGGER model_updated AFTER UPDATE ON model_objects BEGIN
            UPDATE workspaces SET model_version = randomblob(16) WHERE id = new.tenant;
        END;
        CREATE TRIGGER model_deleted AFTER DELETE ON model_objects BEGIN
            UPDATE workspaces SET model_version = randomblob(16) WHERE id = old.tenant;
        END;

        DELETE FROM unique_values;
        INSERT OR IGNORE INTO unique_values (tenant, attribute, scope, value, entity_id)
            SELECT e.tenant, o.alias, json_extract(claim.value, '$[0]'), json_extract(claim.value, '$[1]'), e.id
            FROM model_objects o
            JOIN entities e ON e.tenant = o.tenant
            JOIN json_each(unique_claims(o.body, json_extract(e.body, '$.values."' || o.alias || '"'))) claim
            WHERE o.kind = 'attribute' AND json_extract(o.body, '$.validation.unique')
            ORDER BY e.seq;
        DELETE FROM settings WHERE name = 'demo_first_state';
    """,
    4: """
        CREATE TABLE saved_queries (
            seq     INTEGER PRIMARY KEY,
            tenant  TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
            body    TEXT NOT NULL CHECK (json_valid(body)),
            id      TEXT NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.id')) STORED,
            UNIQUE (tenant, id)
        ) STRICT;
    """,
    # What a key did before is unknown: that it never used a permission can be said only of the time since `ledger_from`.
    5: """
        ALTER TABLE api_keys ADD COLUMN permission_use TEXT NOT NULL DEFAULT '{}' CHECK (json_type(permission_use) = 'object');
        ALTER TABLE api_keys ADD COLUMN refused TEXT NOT NULL DEFAULT '{}' CHECK (json_type(refused) = 'object');
        ALTER TABLE api_keys ADD COLUMN ledger_from TEXT;
        UPDATE api_keys SET ledger_from = strftime('%Y-%m-%dT%H:%M:%fZ', 'now');
    """,
    6: """
        CREATE TABLE key_faults (
            tenant  TEXT    NOT NULL,
            key_id  TEXT    NOT NULL,
            place   INTEGER NOT NULL,
            body    TEXT    NOT NULL CHECK (json_valid(body)),
            route   TEXT             GENERATED ALWAYS AS (json_extract(body, '$.on')) STORED,
            calls   INTEGER NOT NULL DEFAULT 0,
            hits    INTEGER NOT NULL DEFAULT 0 CHECK (hits <= calls),
            PRIMARY KEY (tenant, key_id, place),
            FOREIGN KEY (tenant, key_id) REFERENCES api_keys (tenant, id) ON DELETE CASCADE
        ) STRICT, WITHOUT ROWID;
        CREATE TRIGGER api_key_deactivated AFTER UPDATE OF deactivated_at ON api_keys WHEN new.deactivated_at IS NOT NULL BEGIN
            DELETE FROM key_faults WHERE tenant = new.tenant AND key_id = new.id;
        END;
    """,
    # When older workspaces were created is unknown: they get the time of the upgrade.
    7: """
        ALTER TABLE workspaces ADD COLUMN created_at TEXT;
        UPDATE workspaces SET created_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now');
    """,
    8: """
        CREATE TABLE webhooks (
            seq           INTEGER PRIMARY KEY,
            tenant        TEXT    NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
            body          TEXT    NOT NULL CHECK (json_valid(body)),
            secret        TEXT             CHECK (secret <> ''),
            id            TEXT    NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.id')) STORED,
            is_active     INTEGER NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.active')) STORED,
            lease         TEXT,
            leased_until  REAL    NOT NULL DEFAULT 0,
            UNIQUE (tenant, id),
            CHECK (json_extract(body, '$.secret') IS iif(secret IS NULL, NULL, '••••••••'))
        ) STRICT;
        CREATE TABLE deliveries (
            seq         INTEGER PRIMARY KEY,
            tenant      TEXT    NOT NULL,
            id          TEXT    NOT NULL,
            webhook_id  TEXT    NOT NULL,
            event       TEXT    NOT NULL,
            body        TEXT    NOT NULL CHECK (json_valid(body)),
            state       TEXT    NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
            made_at     REAL    NOT NULL,
            next_at     REAL             DEFAULT 0,
            attempts    INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
            resends     INTEGER NOT NULL DEFAULT 0,
            UNIQUE (tenant, id),
            CHECK ((state = 'pending') = (next_at IS NOT NULL)),
            FOREIGN KEY (tenant, webhook_id) REFERENCES webhooks (tenant, id) ON DELETE CASCADE
        ) STRICT;
        CREATE INDEX deliveries_webhook_idx ON deliveries (tenant, webhook_id);
        CREATE INDEX deliveries_next_idx ON deliveries (tenant, webhook_id, next_at) WHERE state = 'pending';
        CREATE TABLE delivery_attempts (
            seq          INTEGER PRIMARY KEY,
            tenant       TEXT    NOT NULL,
            delivery_id  TEXT    NOT NULL,
            number       INTEGER NOT NULL CHECK (number >= 1),
            at           TEXT    NOT NULL,
            status       INTEGER,
            ms           REAL    NOT NULL,
            error        TEXT,
            UNIQUE (tenant, delivery_id, number),
            FOREIGN KEY (tenant, delivery_id) REFERENCES deliveries (tenant, id) ON DELETE CASCADE
        ) STRICT;
    """,
    # Totals are counted again, now by the place in the list, too.
    9: """
        DROP TRIGGER entity_inserted;
        DROP TRIGGER entity_deleted;
        DROP TRIGGER entity_moved;
        DROP TABLE entity_counts;
        CREATE TABLE entity_counts (
            tenant      TEXT    NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
            is_variant  INTEGER NOT NULL,
            schema_id   TEXT    NOT NULL,
            state_id    TEXT    NOT NULL,
            bucket      INTEGER NOT NULL,
            total       INTEGER NOT NULL CHECK (total >= 0),
            PRIMARY KEY (tenant, is_variant, schema_id, state_id, bucket)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO entity_counts
            SELECT tenant, is_variant, schema_id, ifnull(state_id, ''), seq >> 12, count(*) FROM entities
            GROUP BY 1, 2, 3, 4, 5;
        CREATE TRIGGER entity_inserted AFTER INSERT ON entities BEGIN
            INSERT INTO entity_counts
                VALUES (new.tenant, new.is_variant, new.schema_id, ifnull(new.state_id, ''), new.seq >> 12, 1)
                ON CONFLICT DO UPDATE SET total = total + 1;
        END;
        CREATE TRIGGER entity_deleted AFTER DELETE ON entities BEGIN
            UPDATE entity_counts SET total = total - 1
                WHERE tenant = old.tenant AND is_variant = old.is_variant AND schema_id = old.schema_id
                    AND state_id = ifnull(old.state_id, '') AND bucket = old.seq >> 12;
        END;
        CREATE TRIGGER entity_moved AFTER UPDATE ON entities WHEN new.state_id IS NOT old.state_id BEGIN
            UPDATE entity_counts SET total = total - 1
                WHERE tenant = old.tenant AND is_variant = old.is_variant AND schema_id = old.schema_id
                    AND state_id = ifnull(old.state_id, '') AND bucket = old.seq >> 12;
            INSERT INTO entity_counts
                VALUES (new.tenant, new.is_variant, new.schema_id, ifnull(new.state_id, ''), new.seq >> 12, 1)
                ON CONFLICT DO UPDATE SET total = total + 1;
        END;
    """,
    # A generated column depends only on its row; whether a key is accepted may depend on more, and the view `known_keys` tells.
    10: """
        ALTER TABLE api_keys DROP COLUMN is_active;
    """,
    # These two change only views.
    11: "",
    12: "",
    # A delivery's state is read without its body, places in lists that hold nothing are not kept, and an option is claimed by
    # its id, whether it is stored by that or by its alias: of two that so become one, the first keeps the claim.
    13: """
        DROP INDEX deliveries_webhook_idx;
        CREATE INDEX deliveries_webhook_idx ON deliveries (tenant, webhook_id, seq, state);
        DROP TRIGGER entity_inserted;
        DROP TRIGGER entity_deleted;
        DROP TRIGGER entity_moved;
        DROP TABLE entity_counts;
        CREATE TABLE entity_counts (
            tenant      TEXT    NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
            is_variant  INTEGER NOT NULL,
            schema_id   TEXT    NOT NULL,
            state_id    TEXT    NOT NULL,
            bucket      INTEGER NOT NULL,
            total       INTEGER NOT NULL CHECK (total > 0),
            PRIMARY KEY (tenant, is_variant, schema_id, state_id, bucket)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO entity_counts
            SELECT tenant, is_variant, schema_id, ifnull(state_id, ''), seq >> 12, count(*) FROM entities
            GROUP BY 1, 2, 3, 4, 5;
        CREATE TRIGGER entity_inserted AFTER INSERT ON entities BEGIN
            INSERT INTO entity_counts
                VALUES (new.tenant, new.is_variant, new.schema_id, ifnull(new.state_id, ''), new.seq >> 12, 1)
                ON CONFLICT DO UPDATE SET total = total + 1;
        END;
        CREATE TRIGGER entity_deleted AFTER DELETE ON entities BEGIN
            DELETE FROM entity_counts
                WHERE tenant = old.tenant AND is_variant = old.is_variant AND schema_id = old.schema_id
                    AND state_id = ifnull(old.state_id, '') AND bucket = old.seq >> 12 AND total = 1;
            UPDATE entity_counts SET total = total - 1
                WHERE tenant = old.tenant AND is_variant = old.is_variant AND schema_id = old.schema_id
                    AND state_id = ifnull(old.state_id, '') AND bucket = old.seq >> 12;
        END;
        CREATE TRIGGER entity_moved AFTER UPDATE ON entities WHEN new.state_id IS NOT old.state_id BEGIN
            DELETE FROM entity_counts
                WHERE tenant = old.tenant AND is_variant = old.is_variant AND schema_id = old.schema_id
                    AND state_id = ifnull(old.state_id, '') AND bucket = old.seq >> 12 AND total = 1;
            UPDATE entity_counts SET total = total - 1
                WHERE tenant = old.tenant AND is_variant = old.is_variant AND schema_id = old.schema_id
                    AND state_id = ifnull(old.state_id, '') AND bucket = old.seq >> 12;
            INSERT INTO entity_counts
                VALUES (new.tenant, new.is_variant, new.schema_id, ifnull(new.state_id, ''), new.seq >> 12, 1)
                ON CONFLICT DO UPDATE SET total = total + 1;
        END;
        CREATE TABLE claimed_options AS
            SELECT DISTINCT u.tenant, u.attribute, u.entity_id, o.body FROM unique_values u
            JOIN model_objects o ON o.tenant = u.tenant AND o.kind = 'attribute' AND o.alias = u.attribute
            WHERE json_extract(o.body, '$.type') = 'option';
        DELETE FROM unique_values WHERE (tenant, attribute) IN (SELECT tenant, attribute FROM claimed_options);
        INSERT OR IGNORE INTO unique_values (tenant, attribute, scope, value, entity_id)
            SELECT e.tenant, c.attribute, json_extract(claim.value, '$[0]'), json_extract(claim.value, '$[1]'), e.id
            FROM claimed_options c
            JOIN entities e ON e.tenant = c.tenant AND e.id = c.entity_id
            JOIN model_objects l ON l.tenant = c.tenant AND l.kind = 'option-list'
                AND l.id = json_extract(c.body, '$.optionListId')
            JOIN json_each(unique_claims(c.body, json_extract(e.body, '$.values."' || c.attribute || '"'), l.body)) claim
            ORDER BY e.seq;
        DROP TABLE claimed_options;
    """,
}
