-- completeness: what every agent sent, held against the numbers in its objects' names.
-- Role: <% database %>_OWNER. May be run again: everything here is computed from `lines`, and replaced.
USE ROLE <% database %>_OWNER;
USE SCHEMA <% database %>.<% schema %>;

-- One row per file that ever brought a line; one without a customer has the name of no object. `held` counts the
-- sequences of its name's range that came.
CREATE OR REPLACE DYNAMIC TABLE objects
  TARGET_LAG = '<% lag_s %> seconds' WAREHOUSE = <% warehouse %> REFRESH_MODE = INCREMENTAL
AS
SELECT
  file, customer, site, agent_id, sealed_on, first_sequence, last_sequence, digest,
  COUNT(*) AS lines,
  COUNT(DISTINCT file_row) AS file_rows,
  COUNT(DISTINCT content_key) AS contents,
  COUNT(DISTINCT IFF(violation IS NULL, sequence, NULL)) AS held,
  COUNT_IF(violation IS NOT NULL) AS violations,
  COUNT_IF(erased_at IS NOT NULL) AS erased,
  MAX(IFF(violation IS NULL, agent_since, NULL)) AS agent_since,
  MAX(IFF(violation IS NULL, collected_at, NULL)) AS last_collected_at,
  MIN(stored_at) AS stored_at,
  MIN(landed_at) AS landed_at,
  MAX(landed_at) AS last_landed_at
FROM lines
GROUP BY file, customer, site, agent_id, sealed_on, first_sequence, last_sequence, digest;

-- Files that are not what their name says, each with what is wrong.
CREATE OR REPLACE VIEW file_problems AS
SELECT o.customer, o.site, o.agent_id, o.file, p.problem, p.detail, o.last_landed_at AS since
FROM objects AS o
INNER JOIN (
  SELECT file, 'short' AS problem, held || ' of ' || (last_sequence - first_sequence + 1) || ' lines' AS detail
  FROM objects WHERE held < last_sequence - first_sequence + 1
  UNION ALL
  SELECT file, 'long', file_rows || ' lines for ' || (last_sequence - first_sequence + 1)
  FROM objects WHERE file_rows > last_sequence - first_sequence + 1
  UNION ALL
  SELECT file, 'loaded twice', lines || ' rows of ' || file_rows || ' lines'
  FROM objects WHERE lines > file_rows
  UNION ALL
  SELECT file, 'rewritten', contents || ' contents under one name'
  FROM objects WHERE contents > 1
  UNION ALL
  SELECT file, 'violation', violations || ' lines are not what the path says'
  FROM objects WHERE violations > 0
) AS p ON p.file = o.file;

-- Lines that were kept apart: they are in no other view. Their content is whoever's wrote them.
CREATE OR REPLACE VIEW violations AS
SELECT
  violation, customer, site, agent_id, file, file_row, sequence, record_id, source, stream, entity, observed_at,
  record_values, landed_at
FROM lines
WHERE violation IS NOT NULL;

-- Files that hold sequences of a file before them in the order of sequences: a copy of it under another name, the
-- same range sealed again (with other lines), or a range that only overlaps. Each record counts once all the same.
CREATE OR REPLACE VIEW overlaps AS
WITH ordered AS (
  SELECT
    customer, site, agent_id, file, first_sequence, last_sequence, digest, landed_at,
    MAX(last_sequence) OVER (
      PARTITION BY customer, site, agent_id ORDER BY first_sequence, last_sequence, file
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS reached,
    LAG(first_sequence) OVER (PARTITION BY customer, site, agent_id ORDER BY first_sequence, last_sequence, file)
      AS first_before,
    LAG(last_sequence) OVER (PARTITION BY customer, site, agent_id ORDER BY first_sequence, last_sequence, file)
      AS last_before,
    LAG(digest) OVER (PARTITION BY customer, site, agent_id ORDER BY first_sequence, last_sequence, file)
      AS digest_before
  FROM objects
  WHERE agent_id IS NOT NULL
)
SELECT
  customer, site, agent_id, file, first_sequence, LEAST(last_sequence, reached) AS last_sequence,
  CASE
    WHEN first_before <> first_sequence OR last_before <> last_sequence THEN 'overlapping'
    WHEN digest_before = digest THEN 'copied'
    ELSE 'sealed again'
  END AS kind,
  landed_at AS since
FROM ordered
WHERE first_sequence <= reached;

-- Sequences that came with different lines: two databases send as one agent, or an object was rewritten. Looked
-- for only where files overlap or changed.
CREATE OR REPLACE VIEW forks AS
WITH suspects AS (
  SELECT customer, site, agent_id, first_sequence, last_sequence FROM overlaps
  UNION
  SELECT customer, site, agent_id, first_sequence, last_sequence
  FROM objects WHERE contents > 1 AND agent_id IS NOT NULL
)
SELECT
  l.customer, l.site, l.agent_id, l.sequence,
  COUNT(DISTINCT l.line_hash) AS versions,
  MIN(l.file) AS file,
  MAX(l.file) AS other_file,
  MAX(l.landed_at) AS since
FROM lines AS l
INNER JOIN suspects AS s
  ON s.customer = l.customer AND s.site = l.site AND s.agent_id = l.agent_id
  AND l.sequence BETWEEN s.first_sequence AND s.last_sequence
WHERE l.violation IS NULL AND l.lost IS NULL AND l.erased_at IS NULL
GROUP BY l.customer, l.site, l.agent_id, l.sequence
HAVING COUNT(DISTINCT l.line_hash) > 1;

-- Records that were damaged on the agent's disk before they were sent, and came in no other object.
CREATE OR REPLACE VIEW lost_lines AS
SELECT l.customer, l.site, l.agent_id, l.sequence, l.source, l.record_id, l.lost, MIN(l.landed_at) AS since
FROM lines AS l
WHERE l.violation IS NULL AND l.lost IS NOT NULL
  AND NOT EXISTS (
    SELECT 1
    FROM lines AS whole
    WHERE whole.customer = l.customer AND whole.site = l.site AND whole.agent_id = l.agent_id
      AND whole.sequence = l.sequence AND whole.violation IS NULL AND whole.lost IS NULL
  )
GROUP BY l.customer, l.site, l.agent_id, l.sequence, l.source, l.record_id, l.lost;

-- What the agents say of themselves: the names in the records of the built-in source, in this one place. Figures of
-- more than 18 digits are NULL: no sum of what a stolen key may say must overflow, and silence `problems` for all.
CREATE OR REPLACE VIEW health AS
SELECT
  customer, site, agent_id, sequence, observed_at, collected_at,
  record_values:version::VARCHAR AS version,
  record_values:sqlite_version::VARCHAR AS sqlite_version,
  TRY_CAST(record_values:waiting::VARCHAR AS NUMBER(18, 0)) AS waiting,
  TRY_CAST(record_values:oldest_waiting_age_s::VARCHAR AS DOUBLE) AS oldest_waiting_age_s,
  TRY_CAST(record_values:highest_sequence::VARCHAR AS NUMBER(18, 0)) AS highest_sequence,
  TRY_CAST(record_values:sealed_sequence::VARCHAR AS NUMBER(18, 0)) AS sealed_sequence,
  TRY_CAST(record_values:sent_sequence::VARCHAR AS NUMBER(18, 0)) AS sent_sequence,
  TRY_CAST(record_values:rejected_unresolved::VARCHAR AS NUMBER(18, 0)) AS rejected_unresolved,
  TRY_CAST(record_values:problems::VARCHAR AS NUMBER(18, 0)) AS problems,
  TRY_CAST(record_values:free_disk_bytes::VARCHAR AS NUMBER(18, 0)) AS free_disk_bytes,
  TRY_CAST(record_values:database_bytes::VARCHAR AS NUMBER(18, 0)) AS database_bytes,
  TRY_CAST(record_values:clock_offset_s::VARCHAR AS DOUBLE) AS clock_offset_s,
  record_values:upload_key::VARCHAR AS upload_key,
  TRY_CAST(record_values:upload_key_age_s::VARCHAR AS DOUBLE) AS upload_key_age_s,
  record_values:predecessor_agent::VARCHAR AS predecessor_agent
FROM records
WHERE source = 'agent' AND stream = 'health';

-- Each run of a source that ended, or was killed, as the agent counted it; the same, in this one place.
CREATE OR REPLACE VIEW agent_runs AS
SELECT
  customer, site, agent_id, entity AS source,
  record_values:outcome::VARCHAR AS outcome,
  TRY_CAST(record_values:started_at::VARCHAR AS TIMESTAMP_NTZ) AS started_at,
  TRY_CAST(record_values:finished_at::VARCHAR AS TIMESTAMP_NTZ) AS finished_at,
  TRY_CAST(record_values:read::VARCHAR AS NUMBER(18, 0)) AS read_count,
  TRY_CAST(record_values:new::VARCHAR AS NUMBER(18, 0)) AS new_count,
  TRY_CAST(record_values:unchanged::VARCHAR AS NUMBER(18, 0)) AS unchanged_count,
  TRY_CAST(record_values:rejected::VARCHAR AS NUMBER(18, 0)) AS rejected_count
FROM records
WHERE source = 'agent' AND stream = 'runs';

-- How far each agent must have come, for all we know: its objects' names, and where its successor began. (What an
-- agent says that it sent stands in a later object of its own, whose name says more.)
CREATE OR REPLACE VIEW known_ends AS
WITH said AS (
  SELECT customer, site, agent_id, last_sequence AS known_to, landed_at AS since
  FROM objects
  WHERE agent_id IS NOT NULL
  UNION ALL
  SELECT
    customer, site, predecessor_agent, TRY_CAST(SPLIT_PART(agent_id, '-', 2) AS NUMBER(38, 0)) - 1, observed_at
  FROM health
  WHERE predecessor_agent IS NOT NULL
)
SELECT customer, site, agent_id, MAX(known_to) AS known_to, MAX_BY(since, known_to) AS since
FROM said
GROUP BY customer, site, agent_id;

-- Ranges of sequences that no whole object holds. `since` is when that could first be seen: objects may overtake
-- each other by minutes.
CREATE OR REPLACE VIEW gaps AS
WITH edges AS (
  SELECT customer, site, agent_id, first_sequence, last_sequence, landed_at AS since
  FROM objects
  WHERE agent_id IS NOT NULL AND held = last_sequence - first_sequence + 1
  UNION ALL
  SELECT customer, site, agent_id, known_to + 1, known_to + 1, since
  FROM known_ends
),
reached AS (
  SELECT
    *,
    COALESCE(
      MAX(last_sequence) OVER (
        PARTITION BY customer, site, agent_id ORDER BY first_sequence, last_sequence
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ),
      TRY_CAST(SPLIT_PART(agent_id, '-', 2) AS NUMBER(38, 0)) - 1
    ) AS reached
  FROM edges
)
SELECT
  customer, site, agent_id, reached + 1 AS first_sequence, first_sequence - 1 AS last_sequence, since
FROM reached
WHERE first_sequence > reached + 1;

-- One row per agent: complete from its first sequence up to `complete_to`, and what stands against it.
CREATE OR REPLACE VIEW completeness AS
WITH missing AS (
  SELECT
    customer, site, agent_id,
    COUNT(*) AS gaps,
    SUM(last_sequence - first_sequence + 1) AS missing,
    MIN(first_sequence) AS first_missing
  FROM gaps
  GROUP BY customer, site, agent_id
),
files AS (
  SELECT
    customer, site, agent_id,
    COUNT(*) AS objects,
    COUNT_IF(held < last_sequence - first_sequence + 1) AS short_files,
    COUNT_IF(file_rows > last_sequence - first_sequence + 1) AS long_files,
    COUNT_IF(lines > file_rows) AS loaded_twice,
    COUNT_IF(contents > 1) AS rewritten,
    SUM(violations) AS violations,
    SUM(erased) AS erased,
    MAX(last_landed_at) AS last_landed_at
  FROM objects
  WHERE agent_id IS NOT NULL
  GROUP BY customer, site, agent_id
),
overlapping AS (
  SELECT customer, site, agent_id, COUNT(*) AS overlaps FROM overlaps GROUP BY customer, site, agent_id
),
forked AS (
  SELECT customer, site, agent_id, COUNT(*) AS forks FROM forks GROUP BY customer, site, agent_id
),
gone AS (
  SELECT customer, site, agent_id, COUNT(*) AS lost FROM lost_lines GROUP BY customer, site, agent_id
)
SELECT
  k.customer, k.site, k.agent_id,
  TRY_CAST(SPLIT_PART(k.agent_id, '-', 2) AS NUMBER(38, 0)) AS first_sequence,
  COALESCE(m.first_missing - 1, k.known_to) AS complete_to,
  k.known_to,
  COALESCE(f.objects, 0) AS objects,
  COALESCE(m.gaps, 0) AS gaps,
  COALESCE(m.missing, 0) AS missing,
  COALESCE(o.overlaps, 0) AS overlaps,
  COALESCE(d.forks, 0) AS forks,
  COALESCE(f.short_files, 0) AS short_files,
  COALESCE(f.long_files, 0) AS long_files,
  COALESCE(f.loaded_twice, 0) AS loaded_twice,
  COALESCE(f.rewritten, 0) AS rewritten,
  COALESCE(f.violations, 0) AS violations,
  COALESCE(g.lost, 0) AS lost,
  COALESCE(f.erased, 0) AS erased,
  CASE
    WHEN m.gaps > 0 THEN 'missing'
    WHEN d.forks > 0 THEN 'forked'
    WHEN g.lost > 0 THEN 'lost on the agent'
    WHEN f.erased > 0 THEN 'erased'
    ELSE 'complete'
  END AS state,
  f.last_landed_at
FROM known_ends AS k
LEFT JOIN files AS f ON f.customer = k.customer AND f.site = k.site AND f.agent_id = k.agent_id
LEFT JOIN missing AS m ON m.customer = k.customer AND m.site = k.site AND m.agent_id = k.agent_id
LEFT JOIN overlapping AS o ON o.customer = k.customer AND o.site = k.site AND o.agent_id = k.agent_id
LEFT JOIN forked AS d ON d.customer = k.customer AND d.site = k.site AND d.agent_id = k.agent_id
LEFT JOIN gone AS g ON g.customer = k.customer AND g.site = k.site AND g.agent_id = k.agent_id;
