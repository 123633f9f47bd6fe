-- fleet: who is heard, what agents read against what landed, how much is usual, how long it takes.
-- Role: <% database %>_OWNER. May be run again: everything here is computed, and replaced.
USE ROLE <% database %>_OWNER;
USE SCHEMA <% database %>.<% schema %>;

-- One row per agent that was heard, and per expected site that never was. An agent is `replaced` once another
-- names it as its predecessor, or took over its site and is heard alone.
CREATE OR REPLACE VIEW agents AS
WITH heard AS (
  SELECT
    customer, site, agent_id,
    MAX(agent_since) AS agent_since,
    MAX(last_collected_at) AS last_collected_at,
    MAX(landed_at) AS last_heard_at -- not what was loaded once more
  FROM objects
  WHERE agent_id IS NOT NULL AND held > 0
  GROUP BY customer, site, agent_id
),
latest AS (
  SELECT *
  FROM health
  QUALIFY ROW_NUMBER() OVER (PARTITION BY customer, site, agent_id ORDER BY sequence DESC) = 1
),
succeeded AS (
  SELECT DISTINCT customer, site, predecessor_agent AS agent_id FROM health WHERE predecessor_agent IS NOT NULL
),
joined AS (
  SELECT
    COALESCE(h.customer, e.customer) AS customer,
    COALESCE(h.site, e.site) AS site,
    e.contact, h.agent_id, h.agent_since, h.last_heard_at, h.last_collected_at,
    l.version, l.sqlite_version, l.waiting, l.oldest_waiting_age_s, l.rejected_unresolved, l.problems,
    l.free_disk_bytes, l.database_bytes, l.clock_offset_s, l.upload_key, l.upload_key_age_s, l.predecessor_agent,
    e.interval_s, e.retired_at,
    e.customer IS NOT NULL AS is_expected,
    s.agent_id IS NOT NULL AS is_succeeded,
    h.last_heard_at < DATEADD(SECOND, -4 * COALESCE(e.interval_s, 900), SYSDATE()) AS is_quiet,
    ROW_NUMBER() OVER (
      PARTITION BY COALESCE(h.customer, e.customer), COALESCE(h.site, e.site)
      ORDER BY h.agent_since DESC, h.agent_id DESC
    ) AS newness
  FROM heard AS h
  FULL OUTER JOIN expected AS e ON e.customer = h.customer AND e.site = h.site
  LEFT JOIN latest AS l ON l.customer = h.customer AND l.site = h.site AND l.agent_id = h.agent_id
  LEFT JOIN succeeded AS s ON s.customer = h.customer AND s.site = h.site AND s.agent_id = h.agent_id
)
SELECT
  customer, site, contact, agent_id,
  CASE
    WHEN agent_id IS NULL AND retired_at IS NOT NULL THEN 'retired'
    WHEN agent_id IS NULL THEN 'never seen'
    WHEN last_heard_at > retired_at THEN 'heard after retirement'
    WHEN retired_at IS NOT NULL THEN 'retired'
    WHEN is_succeeded OR (newness > 1 AND is_quiet) THEN 'replaced'
    WHEN newness > 1 THEN 'second agent'
    WHEN NOT is_expected THEN 'unexpected'
    WHEN is_quiet THEN 'silent'
    ELSE 'heard'
  END AS state,
  last_heard_at, last_collected_at, agent_since, version, sqlite_version, waiting, oldest_waiting_age_s,
  rejected_unresolved, problems, free_disk_bytes, database_bytes, clock_offset_s, upload_key, upload_key_age_s,
  predecessor_agent, interval_s, retired_at
FROM joined;

-- Per source and day: read = new + unchanged + rejected by the agents' own counts, and new = landed. A line belongs
-- to the run of its source that began last before it was collected, and to that run's day. Lines that came before
-- the agent told of their run are `untold` and wait. The last 30 days.
CREATE OR REPLACE VIEW reconciliation AS
WITH came AS (
  SELECT
    customer, site, agent_id, source, sequence,
    COALESCE(MIN(collected_at), MIN(stored_at)) AS moment, -- a lost line says no time
    MAX(erased_at) AS erased_at
  FROM lines
  WHERE violation IS NULL AND source IS NOT NULL AND source <> 'agent'
    AND landed_at >= DATEADD(DAY, -40, SYSDATE())
  GROUP BY customer, site, agent_id, source, sequence
),
events AS (
  SELECT
    customer, site, agent_id, source, started_at AS moment, 0 AS kind, started_at AS run_started_at,
    COALESCE(finished_at, started_at) AS run_finished_at,
    read_count, new_count, unchanged_count, rejected_count, 0 AS landed, 0 AS erased
  FROM agent_runs
  WHERE source <> 'agent'
  UNION ALL
  SELECT customer, site, agent_id, source, moment, 1, NULL, NULL, 0, 0, 0, 0, 1, IFF(erased_at IS NULL, 0, 1)
  FROM came
),
placed AS (
  SELECT
    *,
    MAX(run_started_at) OVER (
      PARTITION BY customer, site, agent_id, source ORDER BY moment, kind
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS began_at,
    COALESCE(moment > MAX(run_finished_at) OVER (PARTITION BY customer, site, agent_id, source), TRUE) AS is_untold
  FROM events
),
dated AS (
  SELECT *, CAST(IFF(is_untold, moment, COALESCE(began_at, moment)) AS DATE) AS day
  FROM placed
),
days AS (
  SELECT
    customer, site, source, day,
    COUNT_IF(kind = 0) AS runs,
    SUM(read_count) AS read_count,
    SUM(new_count) AS new_count,
    SUM(unchanged_count) AS unchanged_count,
    SUM(rejected_count) AS rejected_count,
    SUM(IFF(is_untold, 0, landed)) AS landed,
    SUM(IFF(is_untold, landed, 0)) AS untold,
    SUM(erased) AS erased
  FROM dated
  WHERE day >= CAST(DATEADD(DAY, -30, SYSDATE()) AS DATE)
  GROUP BY customer, site, source, day
)
SELECT
  *,
  CASE
    WHEN read_count <> new_count + unchanged_count + rejected_count THEN 'counts disagree'
    WHEN landed < new_count THEN 'not all landed'
    WHEN landed > new_count THEN 'more landed than runs say'
    ELSE 'agrees'
  END AS state
FROM days;

-- Records per entity and day, against the mean of the 28 days before; days to come, as of forecasts, are left out.
CREATE OR REPLACE VIEW coverage AS
WITH counted AS (
  SELECT customer, site, source, stream, entity, CAST(observed_at AS DATE) AS day, COUNT(*) AS records
  FROM records
  WHERE source <> 'agent' AND observed_at >= DATEADD(DAY, -90, SYSDATE()) AND observed_at < SYSDATE()
  GROUP BY customer, site, source, stream, entity, CAST(observed_at AS DATE)
),
days AS (
  SELECT DISTINCT day FROM counted
),
series AS (
  SELECT customer, site, source, stream, entity, MIN(day) AS first_day
  FROM counted
  GROUP BY customer, site, source, stream, entity
),
filled AS (
  SELECT s.customer, s.site, s.source, s.stream, s.entity, d.day, COALESCE(c.records, 0) AS records
  FROM series AS s
  INNER JOIN days AS d ON d.day >= s.first_day
  LEFT JOIN counted AS c
    ON c.customer = s.customer AND c.site = s.site AND c.source = s.source AND c.stream = s.stream
    AND c.entity = s.entity AND c.day = d.day
),
compared AS (
  SELECT
    *,
    AVG(records) OVER (
      PARTITION BY customer, site, source, stream, entity ORDER BY day ROWS BETWEEN 28 PRECEDING AND 1 PRECEDING
    ) AS usual
  FROM filled
)
SELECT
  *,
  CASE
    WHEN usual IS NULL OR day >= CAST(SYSDATE() AS DATE) THEN 'too early to say'
    WHEN records = 0 AND usual >= 1 THEN 'missing'
    WHEN records < usual / 2 THEN 'fewer than usual'
    ELSE 'usual'
  END AS state
FROM compared;

-- Seconds on each leg, per customer, site, source, stream and hour of landing: median and worst. A first leg that
-- is the same whole number of hours at three hours of the day or more (once a day is a daily export) looks like a
-- wrong time zone. The last 30 days.
CREATE OR REPLACE VIEW latency AS
WITH legs AS (
  SELECT
    customer, site, source, stream, DATE_TRUNC('HOUR', landed_at) AS hour,
    DATEDIFF(SECOND, observed_at, collected_at) AS collected_s,
    DATEDIFF(SECOND, collected_at, stored_at) AS stored_s,
    DATEDIFF(SECOND, stored_at, landed_at) AS landed_s,
    DATEDIFF(SECOND, landed_at, visible_at) AS visible_s
  FROM lines
  WHERE violation IS NULL AND lost IS NULL AND erased_at IS NULL AND landed_at >= DATEADD(DAY, -30, SYSDATE())
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY customer, site, agent_id, sequence, line_hash ORDER BY landed_at, file, file_row
  ) = 1
),
hours AS (
  SELECT
    customer, site, source, stream, hour,
    COUNT(*) AS records,
    MEDIAN(collected_s) AS collected_median_s, MIN(collected_s) AS collected_best_s,
    MAX(collected_s) AS collected_worst_s,
    MEDIAN(stored_s) AS stored_median_s, MAX(stored_s) AS stored_worst_s,
    MEDIAN(landed_s) AS landed_median_s, MAX(landed_s) AS landed_worst_s,
    MEDIAN(visible_s) AS visible_median_s, MAX(visible_s) AS visible_worst_s
  FROM legs
  GROUP BY customer, site, source, stream, hour
),
steady AS (
  SELECT
    *,
    IFF(
      collected_worst_s - collected_best_s <= 1200
      AND ABS(collected_median_s - 3600 * ROUND(collected_median_s / 3600)) <= 900
      AND ABS(ROUND(collected_median_s / 3600)) BETWEEN 1 AND 14,
      ROUND(collected_median_s / 3600),
      NULL
    ) AS whole_hours
  FROM hours
)
SELECT
  *,
  IFF(
    whole_hours IS NOT NULL AND source <> 'agent'
    AND COUNT(DISTINCT DATE_PART(HOUR, hour)) OVER (PARTITION BY customer, site, source, stream, whole_hours) >= 3,
    'looks like another time zone: ' || whole_hours || ' h',
    NULL
  ) AS suspicion
FROM steady;

-- Records whose revisions come from more than one agent: of one site, since a record's name holds its site. Where
-- all but one are predecessors (`agents_in_force` is 1) that is what a renewal brings. What the agents say of
-- themselves is left out.
CREATE OR REPLACE VIEW collisions AS
WITH shared AS (
  SELECT customer, site
  FROM objects
  WHERE agent_id IS NOT NULL
  GROUP BY customer, site
  HAVING COUNT(DISTINCT agent_id) > 1
),
succeeded AS (
  SELECT DISTINCT customer, site, predecessor_agent AS agent_id FROM health WHERE predecessor_agent IS NOT NULL
)
SELECT
  h.customer, h.site, h.record_id,
  MIN(h.source) AS source, MIN(h.stream) AS stream, MIN(h.entity) AS entity, MIN(h.observed_at) AS observed_at,
  COUNT(DISTINCT h.agent_id) AS agents,
  COUNT(DISTINCT IFF(p.agent_id IS NULL, h.agent_id, NULL)) AS agents_in_force,
  COUNT(*) AS revisions,
  COUNT(DISTINCT TO_JSON(h.record_values)) AS contents,
  MAX(h.landed_at) AS since
FROM record_history AS h
INNER JOIN shared AS s ON s.customer = h.customer AND s.site = h.site
LEFT JOIN succeeded AS p ON p.customer = h.customer AND p.site = h.site AND p.agent_id = h.agent_id
WHERE h.source <> 'agent'
GROUP BY h.customer, h.site, h.record_id
HAVING COUNT(DISTINCT h.agent_id) > 1;
