-- The record of keys. A secret is nowhere in it: `digest` is HMAC-SHA-256 under the pepper of that number.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Grows with every change; the export carries the one that it was made from.
INSERT INTO meta VALUES ('generation', 0);

CREATE TABLE peppers (
    number      INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    since       REAL NOT NULL,
    retired     REAL
) STRICT;

CREATE TABLE keys (
    id          TEXT PRIMARY KEY,
    digest      BLOB NOT NULL UNIQUE,
    pepper      INTEGER NOT NULL REFERENCES peppers (number),
    user        TEXT NOT NULL,
    rules       TEXT NOT NULL,  -- JSON, as edge.core.keyrules writes it
    description TEXT NOT NULL,
    created     REAL NOT NULL,
    created_by  TEXT NOT NULL,
    origin      TEXT NOT NULL,
    replaces    TEXT NOT NULL,
    replaced_by TEXT NOT NULL,
    weak        TEXT NOT NULL,
    changed     REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_of_user ON keys (user);
CREATE INDEX keys_of_pepper ON keys (pepper);

-- Deleted keys by digest, so that importing an old file again does not bring one back.
CREATE TABLE deleted (
    digest BLOB PRIMARY KEY,
    id     TEXT NOT NULL,
    at     REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for every change of every key; the oldest go when there are more than 200,000.
CREATE TABLE history (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    at         REAL NOT NULL,
    key        TEXT NOT NULL,
    action     TEXT NOT NULL,
    by         TEXT NOT NULL,
    detail     TEXT NOT NULL,  -- JSON, without secrets
    generation INTEGER NOT NULL
) STRICT;

CREATE INDEX history_of_key ON history (key);
