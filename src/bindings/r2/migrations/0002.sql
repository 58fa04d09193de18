-- Access keys of the S3 API.
CREATE TABLE access_key (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  permission TEXT NOT NULL,
  -- JSON: names of buckets. NULL: all.
  buckets TEXT,
  -- Sealed: signatures are made with the secret itself.
  secret TEXT NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX access_key_account ON access_key (account, created_at);
