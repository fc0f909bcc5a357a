-- Who used what: sums by hour, kept for some weeks, and by day, kept for as long as the operator says.
CREATE TABLE hours (
    at INTEGER NOT NULL,              -- Unix hours: seconds divided by 3600
    key TEXT NOT NULL,
    user TEXT NOT NULL,
    service TEXT NOT NULL,
    model TEXT NOT NULL,              -- '' where it is not known
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    received INTEGER NOT NULL,
    seconds REAL NOT NULL,            -- of hardware: from the request's turn to the end of its answer
    waited REAL NOT NULL,
    tokens REAL NOT NULL,
    prompt_tokens REAL NOT NULL,
    completion_tokens REAL NOT NULL,
    audio_seconds REAL NOT NULL,
    characters REAL NOT NULL,
    images REAL NOT NULL,
    steps REAL NOT NULL,
    PRIMARY KEY (at, key, user, service, model)
) WITHOUT ROWID;

CREATE TABLE days (
    at TEXT NOT NULL,                 -- 2026-11-22, in the configured time zone
    key TEXT NOT NULL,
    user TEXT NOT NULL,
    service TEXT NOT NULL,
    model TEXT NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    received INTEGER NOT NULL,
    seconds REAL NOT NULL,
    waited REAL NOT NULL,
    tokens REAL NOT NULL,
    prompt_tokens REAL NOT NULL,
    completion_tokens REAL NOT NULL,
    audio_seconds REAL NOT NULL,
    characters REAL NOT NULL,
    images REAL NOT NULL,
    steps REAL NOT NULL,
    PRIMARY KEY (at, key, user, service, model)
) WITHOUT ROWID;

-- How long each service's hardware was at work, and how long the gate stood before it.
CREATE TABLE hardware_hours (
    at INTEGER NOT NULL,              -- Unix hours
    service TEXT NOT NULL,
    busy REAL NOT NULL,
    up REAL NOT NULL,
    PRIMARY KEY (at, service)
) WITHOUT ROWID;

CREATE TABLE hardware (
    at TEXT NOT NULL,                 -- day
    service TEXT NOT NULL,
    busy REAL NOT NULL,
    up REAL NOT NULL,
    PRIMARY KEY (at, service)
) WITHOUT ROWID;

CREATE TABLE last_used (
    key TEXT PRIMARY KEY,
    at REAL NOT NULL
) WITHOUT ROWID;

-- Each request by itself, the newest ones only: who, what, how it ended and what it cost.
CREATE TABLE requests (
    number INTEGER PRIMARY KEY,       -- in the order of their ends
    at REAL NOT NULL,                 -- its end, Unix seconds
    request TEXT NOT NULL,            -- its id, as in the access log
    key TEXT NOT NULL,
    user TEXT NOT NULL,
    service TEXT NOT NULL,
    model TEXT NOT NULL,              -- '' where it is not known
    status INTEGER NOT NULL,
    reason TEXT NOT NULL,
    ended TEXT NOT NULL,
    sent INTEGER NOT NULL,
    received INTEGER NOT NULL,
    seconds REAL NOT NULL,            -- from the end of its head to the end of its answer
    waited REAL NOT NULL,
    units TEXT NOT NULL               -- a JSON object, '' where it cost none
);
