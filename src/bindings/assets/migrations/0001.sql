-- The content of files, once per account and name that its uploaders gave it.
CREATE TABLE file (
  account TEXT NOT NULL,
  hash TEXT NOT NULL,
  size INTEGER NOT NULL,
  content_type TEXT,
  blob TEXT NOT NULL,
  -- Milliseconds.
  created_at INTEGER NOT NULL,
  PRIMARY KEY (account, hash)
);

-- Uploads that were begun: what they are to be is in a blob.
CREATE TABLE session (
  id TEXT PRIMARY KEY,
  secret_hash BLOB NOT NULL,
  account TEXT NOT NULL,
  worker TEXT NOT NULL,
  draft TEXT NOT NULL,
  -- Milliseconds.
  expires_at INTEGER NOT NULL
);
CREATE INDEX session_account ON session (account, expires_at);
CREATE INDEX session_expiry ON session (expires_at);
