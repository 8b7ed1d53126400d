CREATE TABLE services (
    name TEXT PRIMARY KEY,
    current INTEGER,
    candidate INTEGER,
    rollout TEXT,
    last_number INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    files TEXT
) STRICT;
CREATE TABLE revisions (
    service TEXT NOT NULL,
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    config TEXT NOT NULL,
    actor TEXT NOT NULL,
    source TEXT NOT NULL,
    has_run INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (service, number)
) STRICT;
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_unix_ms INTEGER NOT NULL,
    service TEXT NOT NULL,
    kind TEXT NOT NULL,
    revision INTEGER,
    digest TEXT,
    actor TEXT,
    source TEXT,
    detail TEXT
) STRICT;
CREATE INDEX events_of_service ON events (service, id);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_unix_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status INTEGER NOT NULL
) STRICT;
