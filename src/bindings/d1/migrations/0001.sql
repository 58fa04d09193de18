CREATE TABLE database (
  -- A UUID in lower case.
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  -- Milliseconds.
  created_at INTEGER NOT NULL,
  jurisdiction TEXT,
  location TEXT,
  replication TEXT NOT NULL,
  -- Which of its files is the database. A restore makes the next.
  generation INTEGER NOT NULL,
  -- The latest that was given out: no number is used twice.
  newest INTEGER NOT NULL,
  -- Numbers of copies, which are looked at once and never become the database: see `store.ts`.
  copies INTEGER NOT NULL,
  UNIQUE (account, name)
);

-- Files that are not the database: not yet, or not any more. Written before there is one, and in the
-- transaction that lets go of one; worked off behind.
CREATE TABLE discarded_file (
  account TEXT NOT NULL,
  database TEXT NOT NULL,
  generation INTEGER NOT NULL,
  PRIMARY KEY (database, generation)
);

-- Files of SQL that were uploaded, to be imported.
CREATE TABLE upload (
  database TEXT NOT NULL,
  -- MD5 of its content.
  etag TEXT NOT NULL,
  blob TEXT NOT NULL UNIQUE,
  size INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (database, etag)
);

-- Imports, by the bookmark that they began at.
CREATE TABLE import (
  database TEXT NOT NULL,
  bookmark TEXT NOT NULL,
  -- JSON; NULL while it is under way.
  outcome TEXT,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (database, bookmark)
);

-- Exports, to be downloaded.
CREATE TABLE export (
  blob TEXT PRIMARY KEY,
  database TEXT NOT NULL,
  expires_at INTEGER NOT NULL
);
