CREATE TABLE store (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  -- Milliseconds.
  created_at INTEGER NOT NULL,
  UNIQUE (account, name)
);

-- The value comes last: a list does not read it.
CREATE TABLE secret (
  id TEXT PRIMARY KEY,
  store TEXT NOT NULL REFERENCES store (id),
  name TEXT NOT NULL,
  comment TEXT NOT NULL,
  -- A JSON array of names.
  scopes TEXT NOT NULL,
  -- Milliseconds.
  created_at INTEGER NOT NULL,
  modified_at INTEGER NOT NULL,
  -- Under the data key of the store, which is a blob (`data-keys.ts`).
  sealed BLOB NOT NULL,
  UNIQUE (store, name)
);

-- Stores that are deleted, and whose data keys are to be destroyed.
CREATE TABLE discarded_key (store TEXT PRIMARY KEY);
