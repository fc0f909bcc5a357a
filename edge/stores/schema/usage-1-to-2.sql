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
