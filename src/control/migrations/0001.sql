CREATE TABLE account (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  -- Its Workers answer below this label. A DNS label.
  subdomain TEXT NOT NULL UNIQUE,
  -- 1 is the first account, whose Workers answer directly below the domain as well.
  position INTEGER NOT NULL UNIQUE,
  created_at TEXT NOT NULL
);

CREATE TABLE token (
  id TEXT PRIMARY KEY,
  -- SHA-256 of the secret part.
  hash BLOB NOT NULL,
  -- NULL: all accounts.
  account TEXT REFERENCES account (id),
  permission TEXT NOT NULL,
  name TEXT NOT NULL,
  created_at TEXT NOT NULL,
  expires_at TEXT,
  revoked_at TEXT,
  -- Within an hour.
  last_used_at TEXT
);

CREATE TABLE worker (
  account TEXT NOT NULL REFERENCES account (id),
  name TEXT NOT NULL,
  tag TEXT NOT NULL,
  created_at TEXT NOT NULL,
  modified_at TEXT NOT NULL,
  subdomain_enabled INTEGER NOT NULL,
  previews_enabled INTEGER NOT NULL,
  -- JSON: what no version owns (tags, logpush, observability, tail consumers).
  settings TEXT NOT NULL,
  PRIMARY KEY (account, name)
);

-- Immutable.
CREATE TABLE version (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  worker TEXT NOT NULL,
  number INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  -- JSON: everything else. Secrets in it are sealed.
  record TEXT NOT NULL,
  UNIQUE (account, worker, number),
  FOREIGN KEY (account, worker) REFERENCES worker (account, name)
);

CREATE TABLE deployment (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  worker TEXT NOT NULL,
  -- The highest one of a Worker is what runs.
  sequence INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  -- JSON.
  record TEXT NOT NULL,
  UNIQUE (account, worker, sequence),
  FOREIGN KEY (account, worker) REFERENCES worker (account, name)
);
