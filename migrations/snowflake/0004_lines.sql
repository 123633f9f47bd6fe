-- lines: every line that ever came, typed, with whose it is by its path; the task that brings it over.
-- Role: <% database %>_OWNER. May be run again: tables and stream stay, the task is replaced and resumed.
USE ROLE <% database %>_OWNER;
USE SCHEMA <% database %>.<% schema %>;

-- A row per line that came, for ever: the proof, and the data. Times are UTC.
CREATE TABLE IF NOT EXISTS lines (
  file           VARCHAR NOT NULL,
  file_row       NUMBER(38, 0),
  content_key    VARCHAR,
  stored_at      TIMESTAMP_NTZ,
  landed_at      TIMESTAMP_NTZ,
  visible_at     TIMESTAMP_NTZ,
  customer       VARCHAR,       -- these seven are what the path says; NULL where the file's name is no object's
  site           VARCHAR,
  agent_id       VARCHAR,
  sealed_on      DATE,
  first_sequence NUMBER(38, 0),
  last_sequence  NUMBER(38, 0),
  digest         VARCHAR,
  violation      VARCHAR,       -- why the line is kept apart: it is not what its path says
  sequence       NUMBER(38, 0), -- from here on, what the line says
  agent_since    TIMESTAMP_NTZ,
  collected_at   TIMESTAMP_NTZ,
  record_id      VARCHAR,
  source         VARCHAR,
  stream         VARCHAR,
  entity         VARCHAR,
  observed_at    TIMESTAMP_NTZ,
  record_values  VARIANT,
  units          VARIANT,
  attributes     VARIANT,
  origin         VARIANT,
  deleted        BOOLEAN,
  lost           VARCHAR,       -- why the record was lost on the agent's disk; it has no values then
  line_hash      VARCHAR,       -- equal where the lines are
  erased_at      TIMESTAMP_NTZ  -- when its content was erased on demand: what is left proves that it came
);

-- A row per erasure on demand; the entity is kept as a hash, which tells nobody its name.
CREATE TABLE IF NOT EXISTS erasures (
  customer         VARCHAR NOT NULL,
  entity_sha256    VARCHAR,       -- NULL: the whole customer
  erased_at        TIMESTAMP_NTZ NOT NULL,
  time_travel_ends TIMESTAMP_NTZ NOT NULL,
  fail_safe_ends   TIMESTAMP_NTZ NOT NULL
);

-- A row per site that should be heard; filled by hand.
CREATE TABLE IF NOT EXISTS expected (
  customer   VARCHAR NOT NULL,
  site       VARCHAR NOT NULL,
  contact    VARCHAR,
  interval_s NUMBER(38, 0) DEFAULT 900, -- at least so often something should land
  retired_at TIMESTAMP_NTZ
);

-- A row per problem that was mailed.
CREATE TABLE IF NOT EXISTS reported (
  problem_key VARCHAR NOT NULL,
  reported_at TIMESTAMP_NTZ NOT NULL
);

-- OR REPLACE would lose its place. SHOW_INITIAL_ROWS: what landed before it was made is brought over too.
CREATE STREAM IF NOT EXISTS landed ON TABLE landing APPEND_ONLY = TRUE SHOW_INITIAL_ROWS = TRUE;

-- Runs when something landed, but at most once in the lag, so that the warehouse can sleep. Nothing in a line can
-- make it fail: what is no number or no time becomes NULL and then a violation, and so does a line that is longer than
-- a VARCHAR holds (an agent's has 1 MB at most): one customer's must not stop everyone's. Customer and site are the
-- path's, which a stolen key cannot choose; above data/ there is no =, or it could nest another customer's path in its
-- own. What fails all the same (a warehouse that is gone) is tried again for ever, and silence is mailed.
CREATE OR REPLACE TASK take_lines
  WAREHOUSE = <% warehouse %>
  TIMEZONE = 'UTC', DATE_INPUT_FORMAT = 'AUTO', TIMESTAMP_INPUT_FORMAT = 'AUTO'
  SUSPEND_TASK_AFTER_NUM_FAILURES = 0
  USER_TASK_MINIMUM_TRIGGER_INTERVAL_IN_SECONDS = <% lag_s %>
  WHEN SYSTEM$STREAM_HAS_DATA('landed')
AS
INSERT INTO lines
WITH split AS (
  SELECT
    *,
    IFF(OCTET_LENGTH(TO_JSON(record)) <= 16000000, record, NULL) AS line,
    REGEXP_LIKE(
      file,
      '([^=]*/)?data/customer=[^/]+/site=[^/]+/agent=[^/]{16}-[0-9]{12}/date=[0-9]{4}-[0-9]{2}-[0-9]{2}/'
        || '[0-9]{12,18}-[0-9]{12,18}-[0-9a-f]{16}[.]ndjson([.]zst|[.]gz)?'
    ) AS is_formed,
    SPLIT_PART(file, '/', -1) AS name,
    SUBSTR(SPLIT_PART(file, '/', -3), 7) AS path_agent,
    TRY_CAST(SPLIT_PART(path_agent, '-', 2) AS NUMBER(38, 0)) AS path_begins,
    TRY_CAST(SPLIT_PART(name, '-', 1) AS NUMBER(38, 0)) AS path_first,
    TRY_CAST(SPLIT_PART(name, '-', 2) AS NUMBER(38, 0)) AS path_last
  FROM landed
),
named AS (
  SELECT
    *,
    COALESCE(is_formed AND path_begins >= 1 AND path_first >= path_begins AND path_last >= path_first, FALSE)
      AS is_named
  FROM split
),
typed AS (
  SELECT
    *,
    IFF(is_named, SUBSTR(SPLIT_PART(file, '/', -5), 10), NULL) AS customer,
    IFF(is_named, SUBSTR(SPLIT_PART(file, '/', -4), 6), NULL) AS site,
    IFF(is_named, path_agent, NULL) AS agent_id,
    IFF(is_named, TRY_CAST(SUBSTR(SPLIT_PART(file, '/', -2), 6) AS DATE), NULL) AS sealed_on,
    IFF(is_named, path_first, NULL) AS first_sequence,
    IFF(is_named, path_last, NULL) AS last_sequence,
    IFF(is_named, SUBSTR(SPLIT_PART(name, '-', 3), 1, 16), NULL) AS digest,
    TRY_CAST(line:sequence::VARCHAR AS NUMBER(38, 0)) AS sequence,
    TRY_CAST(line:agent_since::VARCHAR AS TIMESTAMP_NTZ) AS agent_since,
    TRY_CAST(line:collected_at::VARCHAR AS TIMESTAMP_NTZ) AS collected_at,
    TRY_CAST(line:observed_at::VARCHAR AS TIMESTAMP_NTZ) AS observed_at
  FROM named
)
SELECT
  file, file_row, content_key, file_time, CONVERT_TIMEZONE('UTC', scanned_at)::TIMESTAMP_NTZ, SYSDATE(),
  customer, site, agent_id, sealed_on, first_sequence, last_sequence, digest,
  CASE
    WHEN NOT is_named THEN 'name'
    WHEN line IS NULL THEN 'size'
    WHEN line:customer_id::VARCHAR IS DISTINCT FROM customer THEN 'customer'
    WHEN line:site::VARCHAR IS DISTINCT FROM site THEN 'site'
    WHEN line:agent_id::VARCHAR IS DISTINCT FROM agent_id THEN 'agent'
    WHEN sequence IS NULL OR sequence < first_sequence OR sequence > last_sequence THEN 'sequence'
    WHEN line:lost::VARCHAR IS NULL
      AND (line:record_id::VARCHAR IS NULL OR agent_since IS NULL OR observed_at IS NULL) THEN 'record'
  END,
  sequence, agent_since, collected_at,
  line:record_id::VARCHAR, line:source::VARCHAR, line:stream::VARCHAR, line:entity::VARCHAR,
  observed_at,
  line:"values", line:units, line:attributes, line:origin,
  COALESCE(line:deleted::VARCHAR = 'true', FALSE),
  line:lost::VARCHAR,
  MD5(TO_JSON(record)),
  NULL
FROM typed;

ALTER TASK take_lines RESUME;

-- Raw lines go after 90 days, at night: by then each is in `lines`.
CREATE OR REPLACE TASK drop_raw
  WAREHOUSE = <% warehouse %>
  SCHEDULE = 'USING CRON 20 3 * * * UTC'
  SUSPEND_TASK_AFTER_NUM_FAILURES = 0
AS
DELETE FROM landing WHERE scanned_at < DATEADD(DAY, -90, CURRENT_TIMESTAMP());

ALTER TASK drop_raw RESUME;
