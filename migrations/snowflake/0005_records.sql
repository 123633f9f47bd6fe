-- records: each record once, every revision, every observation, and the lists of what there is.
-- Role: <% database %>_OWNER. May be run again: everything here is computed from `lines`, and replaced.
USE ROLE <% database %>_OWNER;
USE SCHEMA <% database %>.<% schema %>;

-- Every revision once, however often its line came; deletions too. The latest is the highest (agent_since, sequence).
CREATE OR REPLACE VIEW record_history AS
SELECT
  customer, site, record_id, source, stream, entity, observed_at, record_values, units, attributes, origin,
  deleted, agent_id, agent_since, sequence, collected_at, stored_at, landed_at, visible_at, file
FROM lines
WHERE violation IS NULL AND lost IS NULL AND erased_at IS NULL
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY customer, site, agent_id, sequence, line_hash ORDER BY landed_at, file, file_row
) = 1;

-- One row per record: its latest revision; none where that is a deletion.
CREATE OR REPLACE DYNAMIC TABLE records
  TARGET_LAG = '<% lag_s %> seconds' WAREHOUSE = <% warehouse %> REFRESH_MODE = INCREMENTAL
AS
SELECT
  customer, site, record_id, source, stream, entity, observed_at, record_values, units, attributes, origin,
  agent_id, agent_since, sequence, collected_at, landed_at
FROM (
  SELECT *
  FROM lines
  WHERE violation IS NULL AND lost IS NULL AND erased_at IS NULL
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY customer, site, record_id
    ORDER BY agent_since DESC, sequence DESC, collected_at DESC, line_hash DESC, landed_at, file, file_row
  ) = 1
) AS latest
WHERE NOT deleted;

-- One row per record and datapoint, from the latest revision that has it: a datapoint that was removed from a
-- configuration stays. A deletion ends what came before it.
CREATE OR REPLACE DYNAMIC TABLE observations
  TARGET_LAG = '<% lag_s %> seconds' WAREHOUSE = <% warehouse %> REFRESH_MODE = INCREMENTAL
AS
WITH standing AS (
  SELECT *
  FROM lines
  WHERE violation IS NULL AND lost IS NULL AND erased_at IS NULL
  QUALIFY SUM(IFF(deleted, 1, 0)) OVER (
    PARTITION BY customer, site, record_id
    ORDER BY agent_since DESC, sequence DESC, collected_at DESC, line_hash DESC, landed_at, file, file_row
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) = 0
)
SELECT
  s.customer, s.site, s.source, s.stream, s.entity, s.observed_at, s.record_id,
  f.key AS datapoint,
  f.value AS value,
  IFF(TYPEOF(f.value) IN ('INTEGER', 'DECIMAL', 'DOUBLE'), TRY_CAST(f.value::VARCHAR AS DOUBLE), NULL) AS number,
  GET(s.units, f.key)::VARCHAR AS unit,
  s.agent_id, s.sequence, s.collected_at
FROM standing AS s, LATERAL FLATTEN(input => s.record_values) AS f
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY s.customer, s.site, s.record_id, f.key
  ORDER BY s.agent_since DESC, s.sequence DESC, s.collected_at DESC, s.line_hash DESC, s.landed_at, s.file, s.file_row
) = 1;

CREATE OR REPLACE VIEW customers AS
SELECT
  customer,
  COUNT(DISTINCT site) AS sites,
  COUNT(DISTINCT agent_id) AS agents,
  COUNT(DISTINCT source) AS sources,
  COUNT(*) AS records,
  MIN(observed_at) AS first_observed_at,
  MAX(observed_at) AS last_observed_at,
  MAX(landed_at) AS last_landed_at
FROM records
GROUP BY customer;

-- What records are about, with the latest location that was said.
CREATE OR REPLACE VIEW entities AS
SELECT
  customer, site, source, entity,
  COUNT(DISTINCT stream) AS streams,
  COUNT(*) AS records,
  MAX_BY(TRY_CAST(attributes:latitude::VARCHAR AS DOUBLE), observed_at) AS latitude,
  MAX_BY(TRY_CAST(attributes:longitude::VARCHAR AS DOUBLE), observed_at) AS longitude,
  MIN(observed_at) AS first_observed_at,
  MAX(observed_at) AS last_observed_at
FROM records
GROUP BY customer, site, source, entity;

-- Names × units × customers: `units` above 1 is °F beside °C.
CREATE OR REPLACE VIEW datapoints AS
WITH named AS (
  SELECT
    customer, source, stream, datapoint, unit,
    COUNT(DISTINCT entity) AS entities,
    COUNT(*) AS observations,
    MIN(observed_at) AS first_observed_at,
    MAX(observed_at) AS last_observed_at
  FROM observations
  GROUP BY customer, source, stream, datapoint, unit
)
SELECT
  *,
  COUNT(*) OVER (PARTITION BY customer, source, stream, datapoint) AS units
FROM named;

-- What the replaced project's last table held.
CREATE OR REPLACE VIEW current_weather AS
SELECT
  customer,
  entity AS location,
  observed_at AS time,
  MAX(IFF(datapoint = 'is_day', number, NULL)) AS is_day,
  MAX(IFF(datapoint = 'temperature_2m', number, NULL)) AS temperature,
  MAX(IFF(datapoint = 'wind_speed_10m', number, NULL)) AS wind_speed
FROM observations
WHERE stream = 'current' AND datapoint IN ('is_day', 'temperature_2m', 'wind_speed_10m')
GROUP BY customer, site, source, entity, observed_at;
