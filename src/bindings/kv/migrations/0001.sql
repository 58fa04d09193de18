CREATE TABLE namespace (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  title TEXT NOT NULL,
  -- Milliseconds. A deleted namespace stays until the last of its keys has been removed.
  deleted_at INTEGER
);
CREATE UNIQUE INDEX namespace_title ON namespace (account, title) WHERE deleted_at IS NULL;
CREATE INDEX namespace_deleted ON namespace (deleted_at) WHERE deleted_at IS NOT NULL;

-- The value comes last: a list does not read it.
CREATE TABLE entry (
  id INTEGER PRIMARY KEY,
  namespace TEXT NOT NULL REFERENCES namespace (id),
  -- UTF-8: ordered and compared by bytes, and may hold NUL.
  key BLOB NOT NULL,
  -- UNIX seconds.
  expires_at INTEGER,
  metadata TEXT,
  size INTEGER NOT NULL,
  -- A large value is a blob, a small one is here.
  blob TEXT,
  value BLOB,
  UNIQUE (namespace, key)
);
CREATE INDEX entry_expiry ON entry (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX entry_blob ON entry (blob) WHERE blob IS NOT NULL;

-- Blobs that no row names any more: written in the transaction that let go of them.
CREATE TABLE discarded_blob (blob TEXT PRIMARY KEY);
CREATE TRIGGER entry_replaced AFTER UPDATE ON entry
  WHEN OLD.blob IS NOT NULL AND OLD.blob IS NOT NEW.blob
  BEGIN INSERT INTO discarded_blob (blob) VALUES (OLD.blob); END;
CREATE TRIGGER entry_deleted AFTER DELETE ON entry
  WHEN OLD.blob IS NOT NULL
  BEGIN INSERT INTO discarded_blob (blob) VALUES (OLD.blob); END;
