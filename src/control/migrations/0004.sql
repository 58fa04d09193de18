-- Cron triggers. No version owns them: they call what is deployed.
CREATE TABLE schedule (
  account TEXT NOT NULL,
  worker TEXT NOT NULL,
  -- As it was written.
  cron TEXT NOT NULL,
  created_at TEXT NOT NULL,
  -- The place that its Worker's list gives it.
  position INTEGER NOT NULL,
  PRIMARY KEY (account, worker, cron),
  FOREIGN KEY (account, worker) REFERENCES worker (account, name)
);
