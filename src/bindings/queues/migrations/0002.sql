-- When a message came into the queue, as far as is known: never before what came earlier. It is kept
-- from then on. A dead letter has the time at which it was first sent in its message.
ALTER TABLE delivery ADD COLUMN entered_at INTEGER NOT NULL DEFAULT 0;
UPDATE delivery SET entered_at = (SELECT sent_at FROM message WHERE message.seq = delivery.seq);
