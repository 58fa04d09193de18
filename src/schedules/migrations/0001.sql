-- A minute of a schedule. Who puts the row in calls the handler: nobody else does.
CREATE TABLE tick (
  account TEXT NOT NULL,
  worker TEXT NOT NULL,
  cron TEXT NOT NULL,
  -- ms since 1970, as are all times here.
  scheduled_at INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  -- NULL: it runs.
  ended_at INTEGER,
  outcome TEXT,
  detail TEXT,
  attempts INTEGER,
  PRIMARY KEY (account, worker, scheduled_at, cron)
);

CREATE INDEX tick_running ON tick (started_at) WHERE ended_at IS NULL;
CREATE INDEX tick_age ON tick (scheduled_at);
