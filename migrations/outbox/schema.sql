CREATE INDEX batches_sealed ON batches (first_sequence) WHERE status = 'sealed';

CREATE INDEX outbox_record_id ON outbox (record_id);

CREATE INDEX rejected_unresolved ON rejected (source) WHERE resolved_at IS NULL;

CREATE INDEX runs_of_command ON runs (command, source, id);

CREATE TABLE agents ( -- A row per identity that this database has had; the last one is in force.
  id             INTEGER PRIMARY KEY,
  agent_id       TEXT NOT NULL UNIQUE CHECK (length(agent_id) = 29 AND substr(agent_id, 17, 1) = '-'),
  customer       TEXT NOT NULL CHECK (length(customer) BETWEEN 1 AND 63),
  site           TEXT NOT NULL CHECK (length(site) BETWEEN 1 AND 63),
  host           TEXT NOT NULL,
  first_sequence INTEGER NOT NULL CHECK (first_sequence > 0),
  since          TEXT NOT NULL,
  reason         TEXT NOT NULL CHECK (reason IN ('made', 'restored', 'cloned', 'moved', 'salvaged')),
  checksum       INTEGER NOT NULL -- CRC-32 of the columns before it
) STRICT;

CREATE TABLE backfills ( -- A row per asked-for stretch of the past; worked off after the live sources.
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  source      TEXT NOT NULL,
  since       TEXT NOT NULL,
  until       TEXT NOT NULL CHECK (until >= since),
  asked_at    TEXT NOT NULL,
  checksum    INTEGER NOT NULL, -- CRC-32 of source, since, until and asked_at
  finished_at TEXT
) STRICT;

CREATE TABLE batches ( -- A row per sealed range of sequences: one object, its name and digest fixed before it is put.
  id             INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, not even after a void
  agent_id       TEXT NOT NULL REFERENCES agents (agent_id),
  format         INTEGER NOT NULL CHECK (format > 0),
  encoding       TEXT NOT NULL CHECK (encoding IN ('zstd', 'gzip', 'none')),
  first_sequence INTEGER NOT NULL UNIQUE CHECK (first_sequence > 0),
  last_sequence  INTEGER NOT NULL UNIQUE CHECK (last_sequence >= first_sequence),
  object_key     TEXT NOT NULL UNIQUE, -- below the destination
  ndjson_sha256  BLOB NOT NULL CHECK (length(ndjson_sha256) = 32),
  ndjson_bytes   INTEGER NOT NULL CHECK (ndjson_bytes > 0),
  status         TEXT NOT NULL DEFAULT 'sealed' CHECK (status IN ('sealed', 'sent')),
  attempts       INTEGER NOT NULL DEFAULT 0,
  last_error     TEXT,
  doubted        INTEGER NOT NULL DEFAULT 0 CHECK (doubted IN (0, 1)), -- 1: a store said that it keeps other bytes
  sealed_at      TEXT NOT NULL,
  sent_at        TEXT,
  store          TEXT, -- the destination that confirmed it
  etag           TEXT,
  object_bytes   INTEGER,
  CHECK ((status = 'sent') = (sent_at IS NOT NULL)),
  CHECK ((status = 'sent') = (store IS NOT NULL))
) STRICT;

CREATE TABLE bodies ( -- A row per record whose text is still kept: its canonical JSON, written once.
  sequence INTEGER PRIMARY KEY,
  body     TEXT NOT NULL,
  checksum INTEGER NOT NULL -- CRC-32 of its collected_at and the body, begun with the sequence
) STRICT;

CREATE TABLE bookmarks ( -- A row per place from which a source, or one of its back-fills, resumes.
  source      TEXT NOT NULL,
  backfill_id INTEGER NOT NULL DEFAULT 0, -- 0: the live source
  scope       TEXT NOT NULL DEFAULT '',
  bookmark    TEXT NOT NULL,
  revision    INTEGER NOT NULL CHECK (revision > 0), -- counts every page, so that no stale page passes for a fresh one
  stored_at   TEXT NOT NULL,
  checksum    INTEGER NOT NULL, -- CRC-32 of the columns before it
  PRIMARY KEY (source, backfill_id, scope)
) STRICT, WITHOUT ROWID;

CREATE TABLE migrations ( -- A row per file of migrations/outbox that made this database.
  version    INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,
  sha256     TEXT NOT NULL CHECK (length(sha256) = 64),
  program    TEXT NOT NULL,
  applied_at TEXT NOT NULL
) STRICT;

CREATE TABLE outbox ( -- A row per record: the ledger, and the memory that recognises what was read before.
  sequence     INTEGER PRIMARY KEY AUTOINCREMENT CHECK (sequence > 0),
  record_id    BLOB NOT NULL CHECK (length(record_id) = 16),
  content_hash BLOB NOT NULL CHECK (length(content_hash) = 16),
  source       TEXT NOT NULL,
  run_id       INTEGER NOT NULL,
  collected_at TEXT NOT NULL,
  bytes        INTEGER NOT NULL CHECK (bytes > 0),
  status       TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent')),
  batch_id     INTEGER,
  CHECK ((status = 'sent') = (batch_id IS NOT NULL))
) STRICT;

CREATE TABLE refusals ( -- A row per source whose login was refused; gone once a login is accepted.
  source      TEXT PRIMARY KEY,
  salt        BLOB NOT NULL CHECK (length(salt) = 16),
  fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32), -- scrypt of its section and its secrets
  account     BLOB CHECK (length(account) = 32), -- scrypt of server, user and secrets; NULL: none of its own
  refused_at  TEXT NOT NULL,
  reason      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rejected ( -- A row per input that could not become a record, however often it was read.
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  source      TEXT NOT NULL,
  reason      TEXT NOT NULL,
  digest      BLOB NOT NULL CHECK (length(digest) = 16),
  raw         TEXT NOT NULL, -- at most 64 KiB of it
  count       INTEGER NOT NULL DEFAULT 1,
  run_id      INTEGER NOT NULL DEFAULT 0, -- the last that read it; 0: no collect did
  first_at    TEXT NOT NULL,
  last_at     TEXT NOT NULL,
  resolved_at TEXT,
  UNIQUE (source, digest)
) STRICT;

CREATE TABLE runs ( -- A row per command, and per source where the command is collect; kept for 90 days.
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  command     TEXT NOT NULL,
  source      TEXT NOT NULL DEFAULT '',
  started_at  TEXT NOT NULL,
  finished_at TEXT,
  exit_code   INTEGER, -- 0: done
  error       TEXT,
  new         INTEGER NOT NULL DEFAULT 0,
  unchanged   INTEGER NOT NULL DEFAULT 0,
  rejected    INTEGER NOT NULL DEFAULT 0,
  oldest      TEXT, -- the earliest and the latest observed_at that were read
  newest      TEXT,
  objects     INTEGER NOT NULL DEFAULT 0,
  sent        INTEGER NOT NULL DEFAULT 0,
  reasons     TEXT NOT NULL DEFAULT '{}', -- of the rejected: a JSON object of counts
  clock_offset_s REAL -- of an upload: how far this clock was ahead of the store's; NULL: the store did not say
) STRICT;

CREATE TABLE voided ( -- A row per seal that was given up, since its lines could not be made again; the range was sealed anew.
  id             INTEGER PRIMARY KEY, -- as it was in batches
  agent_id       TEXT NOT NULL,
  first_sequence INTEGER NOT NULL,
  last_sequence  INTEGER NOT NULL,
  object_key     TEXT NOT NULL,
  ndjson_sha256  BLOB NOT NULL,
  attempts       INTEGER NOT NULL, -- the store may hold it, under its own key: a kill may have cut off the count
  sealed_at      TEXT NOT NULL,
  voided_at      TEXT NOT NULL,
  reason         TEXT NOT NULL
) STRICT;

CREATE TRIGGER agents_are_immutable BEFORE UPDATE ON agents
BEGIN SELECT raise(ABORT, 'an agent never changes'); END;

CREATE TRIGGER agents_stay BEFORE DELETE ON agents
BEGIN SELECT raise(ABORT, 'agents are part of what was sent'); END;

CREATE TRIGGER batches_are_immutable BEFORE UPDATE OF id, agent_id, format, encoding, first_sequence, last_sequence, object_key, ndjson_sha256, ndjson_bytes, sealed_at ON batches
BEGIN SELECT raise(ABORT, 'a sealed batch never changes'); END;

CREATE TRIGGER batches_stay BEFORE DELETE ON batches
WHEN OLD.status = 'sent' OR NOT EXISTS (SELECT 1 FROM voided WHERE id = OLD.id AND object_key = OLD.object_key)
BEGIN SELECT raise(ABORT, 'batches are the proof of what was sent'); END;

CREATE TRIGGER batches_stay_sent BEFORE UPDATE ON batches WHEN OLD.status = 'sent'
BEGIN SELECT raise(ABORT, 'a sent batch never changes'); END;

CREATE TRIGGER batches_tile BEFORE INSERT ON batches
WHEN NEW.first_sequence <> coalesce((SELECT max(last_sequence) + 1 FROM batches), (SELECT min(first_sequence) FROM agents))
  AND NOT EXISTS (SELECT 1 FROM voided WHERE first_sequence = NEW.first_sequence AND last_sequence = NEW.last_sequence)
BEGIN SELECT raise(ABORT, 'a batch begins where the one before it ended'); END;

CREATE TRIGGER bodies_are_immutable BEFORE UPDATE ON bodies
BEGIN SELECT raise(ABORT, 'a body never changes'); END;

CREATE TRIGGER bodies_keep_pending BEFORE DELETE ON bodies WHEN (SELECT status FROM outbox WHERE sequence = OLD.sequence) IS NOT 'sent'
BEGIN SELECT raise(ABORT, 'the body of a record that was not sent cannot be deleted'); END;

CREATE TRIGGER outbox_is_immutable BEFORE UPDATE OF sequence, record_id, content_hash, source, run_id, collected_at, bytes ON outbox
BEGIN SELECT raise(ABORT, 'a record in the outbox never changes'); END;

CREATE TRIGGER outbox_keeps_pending BEFORE DELETE ON outbox WHEN OLD.status = 'pending'
BEGIN SELECT raise(ABORT, 'a record that was not sent cannot be deleted'); END;

CREATE TRIGGER outbox_moves_forward BEFORE UPDATE OF status, batch_id ON outbox WHEN NOT (OLD.status = 'pending' AND NEW.status = 'sent')
BEGIN SELECT raise(ABORT, 'a record goes from pending to sent, once'); END;

CREATE TRIGGER voided_stay BEFORE DELETE ON voided
BEGIN SELECT raise(ABORT, 'voided seals are part of the proof'); END;

CREATE VIEW backlog AS -- What waits, by source.
SELECT o.source, count(*) AS records, sum(o.bytes) AS bytes, min(o.collected_at) AS oldest, max(o.collected_at) AS newest
FROM outbox AS o
WHERE o.status = 'pending'
  AND o.sequence >= coalesce(
    (SELECT min(first_sequence) FROM batches WHERE status = 'sealed'),
    (SELECT max(last_sequence) + 1 FROM batches),
    0)
GROUP BY o.source;

CREATE VIEW deliveries AS -- The batches, latest first, in human terms.
SELECT
  id AS batch,
  status,
  last_sequence - first_sequence + 1 AS records,
  first_sequence,
  last_sequence,
  sealed_at,
  sent_at,
  attempts,
  last_error,
  coalesce(store || '/', '') || object_key AS object,
  object_bytes,
  ndjson_bytes,
  lower(hex(ndjson_sha256)) AS ndjson_sha256
FROM batches
ORDER BY id DESC;

CREATE VIEW pending AS -- The records that wait, oldest first, their text in columns.
SELECT
  o.sequence,
  o.source,
  json_extract(b.body, '$.stream') AS stream,
  json_extract(b.body, '$.entity') AS entity,
  json_extract(b.body, '$.observed_at') AS observed_at,
  json_extract(b.body, '$.values') AS "values",
  json_extract(b.body, '$.units') AS units,
  json_extract(b.body, '$.attributes') AS attributes,
  json_extract(b.body, '$.origin') AS origin,
  json_extract(b.body, '$.record_id') AS record_id,
  o.collected_at,
  o.bytes,
  o.run_id
FROM outbox AS o LEFT JOIN bodies AS b ON b.sequence = o.sequence
WHERE o.status = 'pending'
  -- by position, not by a scan: before the first batch that is not sent, everything is
  AND o.sequence >= coalesce(
    (SELECT min(first_sequence) FROM batches WHERE status = 'sealed'),
    (SELECT max(last_sequence) + 1 FROM batches),
    0)
ORDER BY o.sequence;

CREATE VIEW problems AS -- What is wrong, why, since when and for how many runs. Empty is good. Exit code 75: the next run may succeed.
SELECT
  CASE r.command WHEN 'collect' THEN 'source ' || r.source ELSE r.command END AS what,
  r.error AS why,
  (SELECT min(started_at) FROM runs AS f
   WHERE f.command = r.command AND f.source = r.source AND f.exit_code <> 0 AND f.id > coalesce(
     (SELECT max(id) FROM runs WHERE command = r.command AND source = r.source AND exit_code = 0), 0)) AS since,
  (SELECT count(*) FROM runs AS f
   WHERE f.command = r.command AND f.source = r.source AND f.exit_code <> 0 AND f.id > coalesce(
     (SELECT max(id) FROM runs WHERE command = r.command AND source = r.source AND exit_code = 0), 0)) AS runs,
  r.exit_code
FROM runs AS r
WHERE r.exit_code <> 0
  AND r.id IN (SELECT max(id) FROM runs WHERE exit_code IS NOT NULL GROUP BY command, source)
UNION ALL
SELECT 'batch ' || id, coalesce(last_error, 'not confirmed'), sealed_at, attempts, NULL
FROM batches
WHERE status = 'sealed' AND attempts > 0
  -- else it is the upload's own fault, told above
  AND 0 = coalesce(
    (SELECT exit_code FROM runs WHERE command = 'upload' AND exit_code IS NOT NULL ORDER BY id DESC LIMIT 1), 0)
UNION ALL
SELECT
  'rejected inputs of ' || source,
  CASE count(*) WHEN 1 THEN '1 input' ELSE count(*) || ' inputs' END || ' could not become records, as: ' || max(reason)
    || char(10) || 'Hint: outbox rejected list --source ' || source,
  min(first_at),
  0,
  NULL
FROM rejected
WHERE resolved_at IS NULL
GROUP BY source
UNION ALL
SELECT 'backlog', 'the oldest record that waits was collected more than a day ago', collected_at, 0, NULL
FROM outbox
-- by position, not by a scan: the first that no confirmed batch holds
WHERE sequence = coalesce(
    (SELECT min(first_sequence) FROM batches WHERE status = 'sealed'),
    (SELECT max(last_sequence) + 1 FROM batches),
    (SELECT min(sequence) FROM outbox))
  AND julianday('now') - julianday(collected_at) > 1;

