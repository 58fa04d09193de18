-- Data keys: one account has one or more generations, of which the newest seals.
CREATE TABLE data_key (
  account TEXT NOT NULL,
  generation INTEGER NOT NULL,
  -- Encrypted with the master key.
  wrapped TEXT NOT NULL,
  PRIMARY KEY (account, generation)
);

-- A known text encrypted with the master key: tells the right one from a wrong one.
CREATE TABLE master_check (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  wrapped TEXT NOT NULL
);
