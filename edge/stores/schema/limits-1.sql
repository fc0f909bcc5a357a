-- What was used of each budget per day and month: `number` is the calendar period that `used` belongs to.

CREATE TABLE budgets (
    name   TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    used   REAL NOT NULL
) STRICT, WITHOUT ROWID;
