-- Hardware by hour too. What is on record by day only stands at its noon, so that days as a whole stay right.
CREATE TABLE hardware_hours (
    at INTEGER NOT NULL,              -- Unix hours
    service TEXT NOT NULL,
    busy REAL NOT NULL,
    up REAL NOT NULL,
    PRIMARY KEY (at, service)
) WITHOUT ROWID;

INSERT INTO hardware_hours
    SELECT CAST(strftime('%s', at || 'T12:00') AS INTEGER) / 3600, service, busy, up FROM hardware;
