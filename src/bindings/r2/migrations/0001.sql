CREATE TABLE bucket (
  id INTEGER PRIMARY KEY,
  account TEXT NOT NULL,
  jurisdiction TEXT NOT NULL,
  name TEXT NOT NULL,
  -- Milliseconds, as all times here.
  created_at INTEGER NOT NULL,
  -- JSON: rules, domains, the default storage class.
  settings TEXT NOT NULL,
  UNIQUE (account, jurisdiction, name)
);

-- Its bytes are one of: `value`, the blob `blob`, the parts of `upload`. The value comes last: a
-- list does not read it.
CREATE TABLE object (
  id INTEGER PRIMARY KEY,
  bucket INTEGER NOT NULL REFERENCES bucket (id),
  -- UTF-8: ordered and compared by bytes, and may hold NUL.
  key BLOB NOT NULL,
  -- Another one for each write.
  version TEXT NOT NULL,
  size INTEGER NOT NULL,
  etag TEXT NOT NULL,
  uploaded_at INTEGER NOT NULL,
  storage_class TEXT NOT NULL,
  -- JSON each.
  http TEXT,
  custom TEXT,
  checksums TEXT,
  ssec TEXT,
  blob TEXT,
  upload TEXT,
  value BLOB,
  UNIQUE (bucket, key)
);
CREATE INDEX object_blob ON object (blob) WHERE blob IS NOT NULL;
CREATE INDEX object_upload ON object (upload) WHERE upload IS NOT NULL;

-- An upload that has ended stays for a while: what is asked of it then has an answer of its own.
CREATE TABLE upload (
  id TEXT PRIMARY KEY,
  bucket INTEGER NOT NULL REFERENCES bucket (id),
  key BLOB NOT NULL,
  -- open, completed, aborted
  state TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  -- Counts changes of its parts.
  revision INTEGER NOT NULL,
  storage_class TEXT NOT NULL,
  http TEXT,
  custom TEXT,
  ssec TEXT,
  checksums TEXT
);
CREATE INDEX upload_open ON upload (bucket, key, id) WHERE state = 'open';
CREATE INDEX upload_ended ON upload (ended_at) WHERE ended_at IS NOT NULL;

-- Parts of an open upload, and of objects that were made of one.
CREATE TABLE part (
  upload TEXT NOT NULL,
  number INTEGER NOT NULL,
  size INTEGER NOT NULL,
  etag TEXT NOT NULL,
  uploaded_at INTEGER NOT NULL,
  checksums TEXT,
  blob TEXT NOT NULL,
  PRIMARY KEY (upload, number)
);
CREATE INDEX part_blob ON part (blob);

-- Blobs that no row names any more: written in the transaction that let go of them. `upload`: whose
-- part it was, because who reads an object of many parts opens them one by one.
CREATE TABLE discarded_blob (blob TEXT PRIMARY KEY, upload TEXT);

CREATE TRIGGER object_replaced AFTER UPDATE ON object
  WHEN OLD.version IS NOT NEW.version
  BEGIN
    INSERT INTO discarded_blob (blob) SELECT OLD.blob WHERE OLD.blob IS NOT NULL;
    DELETE FROM part WHERE upload = OLD.upload;
  END;
CREATE TRIGGER object_deleted AFTER DELETE ON object
  BEGIN
    INSERT INTO discarded_blob (blob) SELECT OLD.blob WHERE OLD.blob IS NOT NULL;
    DELETE FROM part WHERE upload = OLD.upload;
  END;
CREATE TRIGGER part_replaced AFTER UPDATE ON part
  WHEN OLD.blob IS NOT NEW.blob
  BEGIN INSERT INTO discarded_blob (blob, upload) VALUES (OLD.blob, OLD.upload); END;
CREATE TRIGGER part_deleted AFTER DELETE ON part
  BEGIN INSERT INTO discarded_blob (blob, upload) VALUES (OLD.blob, OLD.upload); END;

-- How much there is in a bucket: kept with every write, because counting would read all of it.
CREATE TABLE tally (
  bucket INTEGER NOT NULL,
  storage_class TEXT NOT NULL,
  objects INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  metadata_bytes INTEGER NOT NULL,
  PRIMARY KEY (bucket, storage_class)
);
CREATE TRIGGER object_counted AFTER INSERT ON object
  BEGIN
    INSERT INTO tally (bucket, storage_class, objects, bytes, metadata_bytes)
    VALUES (NEW.bucket, NEW.storage_class, 1, NEW.size,
      length(NEW.key) + coalesce(length(NEW.http), 0) + coalesce(length(NEW.custom), 0))
    ON CONFLICT (bucket, storage_class) DO UPDATE SET objects = objects + 1,
      bytes = bytes + excluded.bytes, metadata_bytes = metadata_bytes + excluded.metadata_bytes;
  END;
CREATE TRIGGER object_uncounted AFTER DELETE ON object
  BEGIN
    UPDATE tally SET objects = objects - 1, bytes = bytes - OLD.size,
      metadata_bytes = metadata_bytes - length(OLD.key)
        - coalesce(length(OLD.http), 0) - coalesce(length(OLD.custom), 0)
    WHERE bucket = OLD.bucket AND storage_class = OLD.storage_class;
  END;
CREATE TRIGGER object_recounted AFTER UPDATE ON object
  BEGIN
    UPDATE tally SET objects = objects - 1, bytes = bytes - OLD.size,
      metadata_bytes = metadata_bytes - length(OLD.key)
        - coalesce(length(OLD.http), 0) - coalesce(length(OLD.custom), 0)
    WHERE bucket = OLD.bucket AND storage_class = OLD.storage_class;
    INSERT INTO tally (bucket, storage_class, objects, bytes, metadata_bytes)
    VALUES (NEW.bucket, NEW.storage_class, 1, NEW.size,
      length(NEW.key) + coalesce(length(NEW.http), 0) + coalesce(length(NEW.custom), 0))
    ON CONFLICT (bucket, storage_class) DO UPDATE SET objects = objects + 1,
      bytes = bytes + excluded.bytes, metadata_bytes = metadata_bytes + excluded.metadata_bytes;
  END;

-- What happened to objects and a queue is to be told: removed once the queue has it.
CREATE TABLE notification (
  id INTEGER PRIMARY KEY,
  account TEXT NOT NULL,
  queue TEXT NOT NULL,
  -- JSON.
  body TEXT NOT NULL
);
