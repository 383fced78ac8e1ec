-- The database of the embedded Sigma PIM, in the order of the API's endpoint groups.
--
-- To start afresh, delete the file with its -wal and -shm files: the service creates a new one.
--
-- An object's JSON text is stored once, in `body`, exactly as it is served. SQLite itself generates the columns for
-- look-ups from that text, so an index can never differ from what is served.
-- In the tables of a workspace, every unique and foreign key starts with the tenant: a link across tenants cannot be
-- stored. The exceptions are emails and the hashes of API keys, by which the tenant is found.

PRAGMA application_id = 0x5349474D;  -- "SIGM": tells this file from any other SQLite database
PRAGMA user_version = 14;            -- sigma/migrations.py upgrades an older database; a newer one is refused


-- Workspaces, users, sessions

CREATE TABLE settings (
    name   TEXT NOT NULL PRIMARY KEY,
    value  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE workspaces (
    id             TEXT    NOT NULL PRIMARY KEY,
    name           TEXT    NOT NULL,
    is_demo        INTEGER NOT NULL DEFAULT 0 CHECK (is_demo IN (0, 1)),  -- its passwords and keys are public
    model_version  BLOB    NOT NULL DEFAULT (randomblob(16)),             -- changes with the workspace's model
    is_disposable  INTEGER NOT NULL DEFAULT 0 CHECK (is_disposable IN (0, 1)),  -- created for a test run, which may delete it
    created_at     TEXT                                                   -- if older than version 8: when it was upgraded
) STRICT;

CREATE VIEW standin_workspaces AS                                         -- the demo and those for tests: /standin may change them,
    SELECT * FROM workspaces WHERE is_demo OR is_disposable;              -- and shows them to callers without a credential

CREATE TABLE users (
    tenant         TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    id             TEXT NOT NULL,
    email          TEXT NOT NULL COLLATE NOCASE,
    name           TEXT NOT NULL,
    password_hash  TEXT NOT NULL CHECK (password_hash LIKE 'scrypt:%'),   -- never a password
    role_kind      TEXT NOT NULL GENERATED ALWAYS AS ('role') VIRTUAL,
    role_id        TEXT NOT NULL,
    sessions_from  INTEGER NOT NULL DEFAULT 0,                            -- seconds since the epoch: earlier sessions have ended
    PRIMARY KEY (tenant, id),
    UNIQUE (email),                                                       -- people sign in by email alone
    FOREIGN KEY (tenant, role_kind, role_id) REFERENCES model_objects (tenant, kind, id)  -- kept while users have it
) STRICT;

CREATE INDEX users_role_idx ON users (tenant, role_id);

CREATE TABLE login_attempts (
    who   BLOB NOT NULL CHECK (length(who) = 32),                         -- SHA-256 of email and address or of address; neither is kept
    at    REAL NOT NULL                                                   -- seconds since the epoch
) STRICT;

CREATE INDEX login_attempts_who_idx ON login_attempts (who, at);
CREATE INDEX login_attempts_at_idx ON login_attempts (at);


-- API keys

CREATE TABLE api_keys (
    seq             INTEGER PRIMARY KEY,                                  -- lists come in order of creation
    tenant          TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    id              TEXT NOT NULL,
    name            TEXT NOT NULL CHECK (name <> ''),
    hash            BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),       -- SHA-256 of the raw key, which is not stored
    permissions     TEXT NOT NULL CHECK (json_array_length(permissions) >= 1),
    created_at      TEXT NOT NULL,
    last_used_at    TEXT,
    deactivated_at  TEXT,
    permission_use  TEXT NOT NULL DEFAULT '{}' CHECK (json_type(permission_use) = 'object'),  -- when each permission was last used
    refused         TEXT NOT NULL DEFAULT '{}' CHECK (json_type(refused) = 'object'),     -- how often and when last, for each missing one
    ledger_from     TEXT,                                                 -- when these two begin; null: with the key
    UNIQUE (tenant, id)
) STRICT;

CREATE VIEW known_keys AS                                                 -- each key with why it is refused, if it is
    SELECT *, refusal IS NULL AS is_active, json_object(                  -- (decided only here), and its JSON in lists
        'id', id, 'name', name, 'permissions', json(permissions), 'active', json(iif(refusal IS NULL, 'true', 'false')),
        'createdAt', created_at, 'lastUsedAt', last_used_at, 'deactivatedAt', deactivated_at
    ) AS body
    FROM (SELECT *, CASE
        WHEN deactivated_at IS NOT NULL THEN 'it has been deactivated'
    END AS refusal FROM api_keys);

CREATE TABLE key_faults (                                                 -- test responses in place of a key's real ones
    tenant  TEXT    NOT NULL,
    key_id  TEXT    NOT NULL,
    place   INTEGER NOT NULL,                                             -- the first fault whose route is called decides
    body    TEXT    NOT NULL CHECK (json_valid(body)),
    route   TEXT             GENERATED ALWAYS AS (json_extract(body, '$.on')) STORED,  -- null: every route
    calls   INTEGER NOT NULL DEFAULT 0,                                   -- how many calls it has decided
    hits    INTEGER NOT NULL DEFAULT 0 CHECK (hits <= calls),             -- in how many of these it has fired
    PRIMARY KEY (tenant, key_id, place),
    FOREIGN KEY (tenant, key_id) REFERENCES api_keys (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TRIGGER api_key_deactivated AFTER UPDATE OF deactivated_at ON api_keys WHEN new.deactivated_at IS NOT NULL BEGIN
    DELETE FROM key_faults WHERE tenant = new.tenant AND key_id = new.id;
END;


-- The model: schemas, attributes, dimensions, option lists, workflows, roles, catalogs

CREATE TABLE model_objects (
    seq     INTEGER PRIMARY KEY,                                          -- lists come in order of creation
    tenant  TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    kind    TEXT NOT NULL,
    body    TEXT NOT NULL CHECK (json_valid(body)),
    id      TEXT NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.id')) STORED,
    alias   TEXT          GENERATED ALWAYS AS (json_extract(body, '$.alias')) STORED,  -- roles have none
    UNIQUE (tenant, kind, id),
    UNIQUE (tenant, kind, alias)
) STRICT;

CREATE TABLE model_references (                                           -- a row for each id named in a model object's body
    seq          INTEGER PRIMARY KEY,                                     -- in the order of the body
    tenant       TEXT NOT NULL,
    kind         TEXT NOT NULL,
    id           TEXT NOT NULL,
    field        TEXT NOT NULL,                                           -- the id's path in the body, for messages
    target_kind  TEXT NOT NULL,
    target_id    TEXT NOT NULL,
    FOREIGN KEY (tenant, kind, id) REFERENCES model_objects (tenant, kind, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, target_kind, target_id) REFERENCES model_objects (tenant, kind, id)  -- exists, and is kept while referred to
) STRICT;

CREATE INDEX model_references_source_idx ON model_references (tenant, kind, id);
CREATE INDEX model_references_target_idx ON model_references (tenant, target_kind, target_id);

-- A process may cache what it derives from a model for as long as the version stays the same.
CREATE TRIGGER model_inserted AFTER INSERT ON model_objects BEGIN
    UPDATE workspaces SET model_version = randomblob(16) WHERE id = new.tenant;
END;
CREATE TRIGGER model_updated AFTER UPDATE ON model_objects BEGIN
    UPDATE workspaces SET model_version = randomblob(16) WHERE id = new.tenant;
END;
CREATE TRIGGER model_deleted AFTER DELETE ON model_objects BEGIN
    UPDATE workspaces SET model_version = randomblob(16) WHERE id = old.tenant;
END;

CREATE VIEW schema_attributes AS                                          -- the attributes of each schema
    SELECT r.tenant, r.id AS schema_id, o.id, o.alias, o.body FROM model_references r
    JOIN model_objects o ON o.tenant = r.tenant AND o.kind = r.target_kind AND o.id = r.target_id
    WHERE r.kind = 'schema' AND r.target_kind = 'attribute';

CREATE VIEW referrers AS                                                  -- what keeps a model object from being deleted
    SELECT tenant, target_kind, target_id, kind, id FROM model_references WHERE (kind, id) <> (target_kind, target_id)
    UNION ALL SELECT tenant, role_kind, role_id, 'user', id FROM users
    UNION ALL SELECT tenant, schema_kind, schema_id, 'record', id FROM entities WHERE is_variant = 0;


-- Categories

CREATE TABLE categories (
    seq           INTEGER PRIMARY KEY,
    tenant        TEXT NOT NULL,
    body          TEXT NOT NULL CHECK (json_valid(body)),
    id            TEXT NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.id')) STORED,
    catalog_kind  TEXT NOT NULL GENERATED ALWAYS AS ('catalog') VIRTUAL,
    catalog_id    TEXT NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.catalogId')) STORED,
    parent_id     TEXT          GENERATED ALWAYS AS (json_extract(body, '$.parentId')) STORED,
    total         INTEGER NOT NULL DEFAULT 0 CHECK (total >= 0),          -- how many records it has, kept by triggers
    UNIQUE (tenant, id),
    UNIQUE (tenant, catalog_id, id),
    FOREIGN KEY (tenant, catalog_kind, catalog_id) REFERENCES model_objects (tenant, kind, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, catalog_id, parent_id) REFERENCES categories (tenant, catalog_id, id)  -- a parent is in the same catalog
) STRICT;

CREATE INDEX categories_parent_idx ON categories (tenant, parent_id);

CREATE TABLE category_assignments (
    seq          INTEGER PRIMARY KEY,                                     -- records are listed in order of assignment
    tenant       TEXT NOT NULL,
    category_id  TEXT NOT NULL,
    record_id    TEXT NOT NULL,
    UNIQUE (tenant, category_id, record_id),
    FOREIGN KEY (tenant, category_id) REFERENCES categories (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, record_id) REFERENCES entities (tenant, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX category_assignments_category_idx ON category_assignments (tenant, category_id);
CREATE INDEX category_assignments_record_idx ON category_assignments (tenant, record_id);

CREATE TRIGGER category_assigned AFTER INSERT ON category_assignments BEGIN
    UPDATE categories SET total = total + 1 WHERE tenant = new.tenant AND id = new.category_id;
END;
CREATE TRIGGER category_unassigned AFTER DELETE ON category_assignments BEGIN
    UPDATE categories SET total = total - 1 WHERE tenant = old.tenant AND id = old.category_id;
END;


-- Records and variants

CREATE TABLE entities (                                                   -- records (level 0) and their variants (level 1 and below)
    seq          INTEGER PRIMARY KEY,                                     -- lists come in order of creation
    tenant       TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    schema_id    TEXT NOT NULL,                                           -- of a variant: its record's schema
    schema_kind  TEXT NOT NULL GENERATED ALWAYS AS ('schema') VIRTUAL,
    body         TEXT NOT NULL CHECK (json_valid(body)),
    id           TEXT NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.id')) STORED,
    state_id     TEXT          GENERATED ALWAYS AS (json_extract(body, '$.lifecycleStateId')) STORED,
    record_id    TEXT          GENERATED ALWAYS AS (json_extract(body, '$.entityId')) STORED,  -- null for a record
    parent_id    TEXT          GENERATED ALWAYS AS (json_extract(body, '$.parentId')) STORED,  -- null for a record
    is_variant   INTEGER NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.entityId') IS NOT NULL) STORED,
    UNIQUE (tenant, id),
    CHECK ((record_id IS NULL) = (parent_id IS NULL)),
    FOREIGN KEY (tenant, schema_kind, schema_id) REFERENCES model_objects (tenant, kind, id),  -- kept while it has records
    FOREIGN KEY (tenant, record_id) REFERENCES entities (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, parent_id) REFERENCES entities (tenant, id)      -- no CASCADE: SQLite follows only 1,000 levels
) STRICT;

CREATE INDEX entities_variant_idx ON entities (tenant, is_variant);
CREATE INDEX entities_schema_idx ON entities (tenant, schema_id, is_variant);
CREATE INDEX entities_state_idx ON entities (tenant, state_id) WHERE is_variant = 0;
CREATE INDEX entities_schema_state_idx ON entities (tenant, schema_id, state_id) WHERE is_variant = 0;
CREATE INDEX entities_record_idx ON entities (tenant, record_id) WHERE record_id IS NOT NULL;
CREATE INDEX entities_parent_idx ON entities (tenant, parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE entity_counts (                                              -- for the `total` of lists, and where pages begin
    tenant      TEXT    NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    is_variant  INTEGER NOT NULL,
    schema_id   TEXT    NOT NULL,
    state_id    TEXT    NOT NULL,                                         -- '' if there is none
    bucket      INTEGER NOT NULL,                                         -- a range of 4,096 values of `seq`
    total       INTEGER NOT NULL CHECK (total > 0),
    PRIMARY KEY (tenant, is_variant, schema_id, state_id, bucket)
) STRICT, WITHOUT ROWID;

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

CREATE VIEW workspace_totals AS                                           -- how much a workspace holds
    SELECT w.id AS tenant,
        (SELECT ifnull(sum(c.total), 0) FROM entity_counts c WHERE c.tenant = w.id AND c.is_variant = 0) AS records,
        (SELECT count(*) FROM known_keys k WHERE k.tenant = w.id AND k.is_active) AS active_keys
    FROM workspaces w;

CREATE TABLE unique_values (                                              -- a row for each stored value of a `unique` attribute
    tenant     TEXT NOT NULL,
    attribute  TEXT NOT NULL,                                             -- its alias
    scope      TEXT NOT NULL,                                             -- JSON, keys sorted
    value      TEXT NOT NULL,                                             -- JSON by unique_key(), the same for equal values
    entity_id  TEXT NOT NULL,
    PRIMARY KEY (tenant, attribute, scope, value),                        -- this makes the values unique
    FOREIGN KEY (tenant, entity_id) REFERENCES entities (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX unique_values_entity_idx ON unique_values (tenant, entity_id);

CREATE TABLE audit_log (                                                  -- no foreign key to the record: history outlives it
    seq        INTEGER PRIMARY KEY,
    tenant     TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    record_id  TEXT NOT NULL,                                             -- the record whose history this belongs to
    body       TEXT NOT NULL CHECK (json_valid(body))
) STRICT;

CREATE INDEX audit_log_record_idx ON audit_log (tenant, record_id);


-- Saved queries

CREATE TABLE saved_queries (
    seq     INTEGER PRIMARY KEY,                                          -- lists come in order of creation
    tenant  TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    body    TEXT NOT NULL CHECK (json_valid(body)),
    id      TEXT NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.id')) STORED,
    UNIQUE (tenant, id)
) STRICT;


-- Webhooks

CREATE TABLE webhooks (
    seq           INTEGER PRIMARY KEY,                                    -- lists come in order of creation
    tenant        TEXT    NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    body          TEXT    NOT NULL CHECK (json_valid(body)),              -- as it is served, with bullets for the secret
    secret        TEXT             CHECK (secret <> ''),                  -- in plain text, for signing; null: nothing is signed
    id            TEXT    NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.id')) STORED,
    is_active     INTEGER NOT NULL GENERATED ALWAYS AS (json_extract(body, '$.active')) STORED,
    lease         TEXT,                                                   -- random token of the current sender; null: none
    leased_until  REAL    NOT NULL DEFAULT 0,                             -- seconds since the epoch: when the lease expires
    UNIQUE (tenant, id),
    CHECK (json_extract(body, '$.secret') IS iif(secret IS NULL, NULL, '••••••••'))
) STRICT;

CREATE TABLE deliveries (                                                 -- stored in one transaction with their change
    seq         INTEGER PRIMARY KEY,                                      -- the order in which they are sent
    tenant      TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    webhook_id  TEXT    NOT NULL,
    event       TEXT    NOT NULL,
    body        TEXT    NOT NULL CHECK (json_valid(body)),                -- the exact text that each attempt sends
    state       TEXT    NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    made_at     REAL    NOT NULL,                                         -- seconds since the epoch
    next_at     REAL             DEFAULT 0,                               -- when it is due, likewise; 0: at once; null: never
    attempts    INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    resends     INTEGER NOT NULL DEFAULT 0,                               -- how often it was sent again on request
    UNIQUE (tenant, id),
    CHECK ((state = 'pending') = (next_at IS NOT NULL)),
    FOREIGN KEY (tenant, webhook_id) REFERENCES webhooks (tenant, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX deliveries_webhook_idx ON deliveries (tenant, webhook_id, seq, state);  -- in the table, the state stands behind a body
CREATE INDEX deliveries_next_idx ON deliveries (tenant, webhook_id, next_at) WHERE state = 'pending';

CREATE TABLE delivery_attempts (
    seq          INTEGER PRIMARY KEY,                                     -- the order in which they were made
    tenant       TEXT    NOT NULL,
    delivery_id  TEXT    NOT NULL,
    number       INTEGER NOT NULL CHECK (number >= 1),
    at           TEXT    NOT NULL,
    status       INTEGER,                                                 -- null: there was no response
    ms           REAL    NOT NULL,
    error        TEXT,                                                    -- null: the attempt succeeded
    UNIQUE (tenant, delivery_id, number),
    FOREIGN KEY (tenant, delivery_id) REFERENCES deliveries (tenant, id) ON DELETE CASCADE
) STRICT;
