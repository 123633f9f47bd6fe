-- erase: a customer's content, or one entity's, out of every table; a row in `erasures` says so.
-- Role: <% database %>_OWNER. Before it: stop the agent, and delete the customer's objects and their versions
-- below <% to %>/data/customer=<% customer %>/, or a reload would bring them back. What stays is the proof that
-- the sequences came: the customer's, site's and agent's names and numbers, no content.
USE ROLE <% database %>_OWNER;
USE SCHEMA <% database %>.<% schema %>;
USE WAREHOUSE <% warehouse %>;

-- Must say FALSE before you go on: what landed must have been taken over first.
SELECT SYSTEM$STREAM_HAS_DATA('landed') AS wait_until_false;

BEGIN TRANSACTION;

INSERT INTO erasures (customer, entity_sha256, erased_at, time_travel_ends, fail_safe_ends)
SELECT
  '<% customer %>', SHA2(<% entity %>, 256), SYSDATE(),
  DATEADD(DAY, MAX(retention_time), SYSDATE()), DATEADD(DAY, MAX(retention_time) + 7, SYSDATE())
FROM <% database %>.INFORMATION_SCHEMA.TABLES
WHERE table_schema = UPPER('<% schema %>');

DELETE FROM landing
WHERE CONTAINS(file, 'customer=<% customer %>/')
  AND (<% entity %> IS NULL OR record:entity::VARCHAR = <% entity %>);

UPDATE lines
SET
  record_id = NULL, entity = NULL, observed_at = NULL, record_values = NULL, units = NULL, attributes = NULL,
  origin = NULL, line_hash = NULL, erased_at = SYSDATE()
WHERE CONTAINS(file, 'customer=<% customer %>/') AND erased_at IS NULL
  AND (<% entity %> IS NULL OR entity = <% entity %>);

DELETE FROM expected WHERE customer = '<% customer %>' AND <% entity %> IS NULL;

COMMIT;

-- The dynamic tables would follow within their lag; so they follow now.
ALTER DYNAMIC TABLE records REFRESH;
ALTER DYNAMIC TABLE observations REFRESH;
ALTER DYNAMIC TABLE objects REFRESH;

-- When the content is gone for good: until time_travel_ends it can be brought back by anyone who owns the
-- tables, until fail_safe_ends by Snowflake.
SELECT customer, entity_sha256, erased_at, time_travel_ends, fail_safe_ends
FROM erasures
WHERE customer = '<% customer %>'
ORDER BY erased_at DESC;
