-- problems: what needs a person, in one view, and a mail for each new one.
-- Role: ACCOUNTADMIN for the mail's integration, then <% database %>_OWNER. May be run again.
USE ROLE ACCOUNTADMIN;

-- The address must be a user's of this account, and verified.
CREATE NOTIFICATION INTEGRATION IF NOT EXISTS <% database %>_MAIL
  TYPE = EMAIL
  ENABLED = TRUE
  ALLOWED_RECIPIENTS = ('<% mail %>');
-- Who was said otherwise this time.
ALTER NOTIFICATION INTEGRATION <% database %>_MAIL SET ALLOWED_RECIPIENTS = ('<% mail %>');
GRANT USAGE ON INTEGRATION <% database %>_MAIL TO ROLE <% database %>_OWNER;

USE ROLE <% database %>_OWNER;
USE SCHEMA <% database %>.<% schema %>;

-- Files that Snowpipe did not load whole in the last 14 days; it says so nowhere else. A file without a line too.
CREATE OR REPLACE VIEW load_problems AS
SELECT
  file_name AS file, status, row_count, row_parsed, error_count, first_error_message, first_error_line_number,
  CONVERT_TIMEZONE('UTC', last_load_time)::TIMESTAMP_NTZ AS since
FROM TABLE(<% database %>.INFORMATION_SCHEMA.COPY_HISTORY(
  TABLE_NAME => '<% database %>.<% schema %>.landing',
  START_TIME => DATEADD(DAY, -13, CURRENT_TIMESTAMP())
))
WHERE UPPER(status) <> 'LOAD IN PROGRESS'
  AND (UPPER(status) <> 'LOADED' OR error_count > 0 OR row_count <> row_parsed OR row_count = 0);

-- `problem_key` is the same as long as it is the same problem: the same `subject`, whatever the figures are.
CREATE OR REPLACE VIEW problems AS
WITH found AS (
  SELECT
    'gap' AS problem, customer, site, agent_id, 'from sequence ' || first_sequence AS subject,
    'up to ' || last_sequence || ' nothing has arrived' AS detail, since
  FROM gaps
  WHERE since < DATEADD(HOUR, -1, SYSDATE()) -- objects may overtake each other
  UNION ALL
  SELECT problem || ' file', customer, site, agent_id, file, detail, since FROM file_problems
  UNION ALL
  SELECT 'overlap', customer, site, agent_id, file, kind, since FROM overlaps
  UNION ALL
  SELECT
    'fork', customer, site, agent_id, 'from sequence ' || MIN(sequence),
    COUNT(*) || ' sequences came with different lines', MIN(since)
  FROM forks
  GROUP BY customer, site, agent_id
  UNION ALL
  SELECT 'lost', customer, site, agent_id, 'sequence ' || sequence, lost, since FROM lost_lines
  UNION ALL
  SELECT
    state, customer, site, agent_id, COALESCE('heard last at ' || last_heard_at, 'expected'),
    COALESCE('ask ' || contact, 'no contact is known'), last_heard_at
  FROM agents
  WHERE state IN ('never seen', 'silent', 'second agent', 'unexpected', 'heard after retirement')
  UNION ALL
  SELECT
    'clock', customer, site, agent_id, 'clock',
    COALESCE(ROUND(clock_offset_s) || ' s off', 'ahead: collected at ' || last_collected_at), last_heard_at
  FROM agents
  WHERE ABS(clock_offset_s) > 60 OR last_collected_at > DATEADD(MINUTE, 5, last_heard_at)
  UNION ALL
  SELECT
    'reconciliation', customer, site, NULL, source || ' on ' || day,
    state || ': read ' || read_count || ', new ' || new_count || ', unchanged ' || unchanged_count || ', rejected '
      || rejected_count || ', landed ' || landed,
    CAST(day AS TIMESTAMP_NTZ)
  FROM reconciliation
  WHERE state <> 'agrees' AND day < CAST(SYSDATE() AS DATE)
  UNION ALL
  SELECT
    'coverage', customer, site, NULL, source || ' / ' || stream || ' / ' || entity || ' on ' || day,
    records || ' records, usually ' || ROUND(usual), CAST(day AS TIMESTAMP_NTZ)
  FROM coverage
  WHERE state IN ('missing', 'fewer than usual')
  UNION ALL
  SELECT 'time zone', customer, site, NULL, source || ' / ' || stream, suspicion, MIN(hour)
  FROM latency
  WHERE suspicion IS NOT NULL
  GROUP BY customer, site, source, stream, suspicion
  UNION ALL
  SELECT
    'unit', customer, NULL, NULL, source || ' / ' || stream || ' / ' || datapoint, units || ' units',
    MAX(first_observed_at)
  FROM datapoints
  WHERE units > 1
  GROUP BY customer, source, stream, datapoint, units
  UNION ALL
  SELECT 'collision', customer, site, NULL, source, COUNT(*) || ' records come from several agents', MIN(since)
  FROM collisions
  WHERE contents > 1 AND agents_in_force > 1
  GROUP BY customer, site, source
  UNION ALL
  SELECT 'load', NULL, NULL, NULL, file, status || COALESCE(', ' || first_error_message, ''), since
  FROM load_problems
)
SELECT
  problem, customer, site, agent_id, subject, detail, since,
  MD5(
    problem || '|' || COALESCE(customer, '') || '|' || COALESCE(site, '') || '|' || COALESCE(agent_id, '') || '|'
      || COALESCE(subject, '')
  ) AS problem_key
FROM found;

-- Not mailed yet.
CREATE OR REPLACE VIEW new_problems AS
SELECT p.*
FROM problems AS p
WHERE NOT EXISTS (SELECT 1 FROM reported AS r WHERE r.problem_key = p.problem_key);

-- Mails what is new and notes it as reported: both, or neither where the mail is refused. 200 lines at most, taking
-- turns among the customers: no flood of one hides another. The alert calls it, as its owner: with the owner's rights a
-- procedure may ask less of INFORMATION_SCHEMA.
CREATE OR REPLACE PROCEDURE mail_problems()
  RETURNS VARCHAR LANGUAGE SQL EXECUTE AS CALLER
AS
$$
DECLARE
  moment TIMESTAMP_NTZ DEFAULT SYSDATE();
  body VARCHAR;
BEGIN
  BEGIN TRANSACTION;
  INSERT INTO reported SELECT DISTINCT problem_key, :moment FROM new_problems;
  SELECT
    LISTAGG(text, '\n') WITHIN GROUP (ORDER BY place)
      || IFF(MAX(total) > 200, '\nand ' || (MAX(total) - 200) || ' more, in the view problems', '') INTO :body
  FROM (
    SELECT text, ROW_NUMBER() OVER (ORDER BY turn, text) AS place, COUNT(*) OVER () AS total
    FROM (
      SELECT
        LEFT(
          p.problem || ' ' || COALESCE(p.customer, '') || ' ' || COALESCE(p.site, '') || ' '
            || COALESCE(p.agent_id, '') || ': ' || COALESCE(p.subject, '') || ', ' || COALESCE(p.detail, ''),
          300
        ) AS text,
        ROW_NUMBER() OVER (PARTITION BY p.customer ORDER BY p.problem, p.site, p.agent_id, p.subject) AS turn
      FROM problems AS p
      INNER JOIN reported AS r ON r.problem_key = p.problem_key AND r.reported_at = :moment
    ) AS texts
  ) AS placed
  WHERE place <= 200;
  CALL SYSTEM$SEND_EMAIL('<% database %>_MAIL', '<% mail %>', 'New problems in <% database %>', :body);
  COMMIT;
  RETURN body;
END;
$$;

-- Every morning, when there are new problems: one mail with all of them. A problem is mailed once.
CREATE OR REPLACE ALERT new_problems_alert
  WAREHOUSE = <% warehouse %>
  SCHEDULE = 'USING CRON 0 5 * * * UTC'
  IF (EXISTS (SELECT 1 FROM new_problems))
  THEN CALL mail_problems();

ALTER ALERT new_problems_alert RESUME;
