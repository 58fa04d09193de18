-- Of the Durable Object migration that was applied last, exactly as it was sent.
ALTER TABLE worker ADD COLUMN migration_tag TEXT;

-- The Durable Object classes of Workers, and where their objects are.
CREATE TABLE object_class (
  namespace TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  worker TEXT NOT NULL,
  class_name TEXT NOT NULL,
  -- sqlite or kv
  storage TEXT NOT NULL,
  UNIQUE (account, worker, class_name),
  FOREIGN KEY (account, worker) REFERENCES worker (account, name)
);

-- Classes that a Worker expects from another one of its account.
CREATE TABLE expected_class (
  account TEXT NOT NULL,
  worker TEXT NOT NULL,
  class_name TEXT NOT NULL,
  from_worker TEXT NOT NULL,
  PRIMARY KEY (account, worker, class_name)
);

-- Namespaces whose objects are to be deleted: nobody can reach them any more.
CREATE TABLE deleted_namespace (
  namespace TEXT PRIMARY KEY,
  account TEXT NOT NULL
);
