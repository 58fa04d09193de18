-- `workers/alias` of a version's annotations: the name of its preview.
ALTER TABLE version ADD COLUMN alias TEXT;
UPDATE version SET alias = json_extract(record, '$.annotations."workers/alias"');

-- Hosts that the operator has given to an account, with all that is below them.
CREATE TABLE zone (
  id TEXT PRIMARY KEY,
  -- A host name in lower case.
  name TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL REFERENCES account (id),
  created_at TEXT NOT NULL
);

CREATE TABLE route (
  id TEXT PRIMARY KEY,
  zone TEXT NOT NULL REFERENCES zone (id),
  account TEXT NOT NULL,
  -- As it was sent, and in the form that all have which match the same.
  pattern TEXT NOT NULL,
  canonical TEXT NOT NULL,
  -- NULL: no Worker where it matches.
  worker TEXT,
  UNIQUE (zone, canonical),
  FOREIGN KEY (account, worker) REFERENCES worker (account, name)
);

CREATE TABLE custom_domain (
  id TEXT PRIMARY KEY,
  zone TEXT NOT NULL REFERENCES zone (id),
  account TEXT NOT NULL,
  hostname TEXT NOT NULL UNIQUE,
  worker TEXT NOT NULL,
  enabled INTEGER NOT NULL,
  previews_enabled INTEGER NOT NULL,
  FOREIGN KEY (account, worker) REFERENCES worker (account, name)
);
