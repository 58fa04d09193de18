CREATE TABLE queue (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  -- Milliseconds, as all times here.
  created_at INTEGER NOT NULL,
  modified_at INTEGER NOT NULL,
  -- Seconds.
  delivery_delay INTEGER NOT NULL,
  retention INTEGER NOT NULL,
  is_paused INTEGER NOT NULL,
  purged_at INTEGER,
  UNIQUE (account, name)
);

-- What one consumer has to do, or would have if there were one. A queue has a line from the
-- beginning, which its first consumer takes over, and one more for each further consumer.
CREATE TABLE line (
  id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  -- Kept by the triggers below.
  count INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  -- A line that was let go of stays until the last of its deliveries has been removed.
  is_removed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX line_queue ON line (queue);
CREATE INDEX line_removed ON line (id) WHERE is_removed = 1;

CREATE TABLE consumer (
  id TEXT PRIMARY KEY,
  queue TEXT NOT NULL REFERENCES queue (id),
  line INTEGER NOT NULL REFERENCES line (id),
  account TEXT NOT NULL,
  -- The Worker that is given batches; a consumer without one pulls.
  worker TEXT,
  entrypoint TEXT,
  environment TEXT NOT NULL,
  dead_letter_queue TEXT NOT NULL,
  -- JSON.
  settings TEXT NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX consumer_queue ON consumer (queue);
CREATE INDEX consumer_worker ON consumer (account, worker);

-- A message is there as long as a delivery of it is. The body comes last: most reads leave it alone.
CREATE TABLE message (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  sent_at INTEGER NOT NULL,
  format TEXT NOT NULL,
  source TEXT NOT NULL,
  body BLOB NOT NULL
);

-- What is to become of a message in one line. All that changes is here, where it is small.
CREATE TABLE delivery (
  line INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  -- From then on it can be given to the consumer: it was sent, its delay or its lease is over.
  visible_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  size INTEGER NOT NULL,
  -- Random, for each batch: who was given another lease has no say any more.
  lease INTEGER,
  PRIMARY KEY (line, seq)
) WITHOUT ROWID;
CREATE INDEX delivery_visible ON delivery (line, visible_at, seq);
CREATE INDEX delivery_lease ON delivery (lease) WHERE lease IS NOT NULL;

CREATE TRIGGER delivery_added AFTER INSERT ON delivery
  BEGIN
    UPDATE line SET count = count + 1, bytes = bytes + NEW.size WHERE id = NEW.line;
  END;
CREATE TRIGGER delivery_ended AFTER DELETE ON delivery
  BEGIN
    UPDATE line SET count = count - 1, bytes = bytes - OLD.size WHERE id = OLD.line;
    DELETE FROM message WHERE seq = OLD.seq AND NOT EXISTS (
      SELECT 1 FROM line AS own
      JOIN line AS other ON other.queue = own.queue
      JOIN delivery ON delivery.line = other.id AND delivery.seq = OLD.seq
      WHERE own.id = OLD.line
    );
  END;

CREATE TABLE subscription (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  queue TEXT NOT NULL REFERENCES queue (id) ON DELETE CASCADE,
  created_at INTEGER NOT NULL,
  modified_at INTEGER NOT NULL,
  -- JSON: what the API was given.
  body TEXT NOT NULL
);
CREATE INDEX subscription_account ON subscription (account, created_at);
CREATE INDEX subscription_queue ON subscription (queue);
