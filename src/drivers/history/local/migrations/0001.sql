-- Generations of databases. Commit 0 of one is an empty database, or has a base.
CREATE TABLE generation (
  account TEXT NOT NULL,
  database TEXT NOT NULL,
  generation INTEGER NOT NULL,
  began_at INTEGER NOT NULL,
  PRIMARY KEY (account, database, generation)
);

-- Runs of commits, and bases (whole states, as of their last commit). Each is a blob.
CREATE TABLE segment (
  account TEXT NOT NULL,
  database TEXT NOT NULL,
  generation INTEGER NOT NULL,
  kind TEXT NOT NULL,
  first_sequence INTEGER NOT NULL,
  last_sequence INTEGER NOT NULL,
  first_time INTEGER NOT NULL,
  last_time INTEGER NOT NULL,
  -- Milliseconds of which one moment is kept; 0 where each commit is.
  kept INTEGER NOT NULL,
  -- Before compression, and after it.
  raw_bytes INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  blob TEXT NOT NULL,
  PRIMARY KEY (account, database, generation, kind, last_sequence)
);

CREATE UNIQUE INDEX segment_blob ON segment (blob);
