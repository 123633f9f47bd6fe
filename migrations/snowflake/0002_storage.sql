-- storage: how Snowflake reads the bucket: an integration, a file format, a stage on data/.
-- Role: ACCOUNTADMIN for the integration, then <% database %>_OWNER. May be run again: nothing is replaced,
-- since a new integration has a new external id, which the bucket's role would no longer trust.
USE ROLE ACCOUNTADMIN;

CREATE STORAGE INTEGRATION IF NOT EXISTS <% database %>_BUCKET
  TYPE = EXTERNAL_STAGE
  STORAGE_PROVIDER = 'S3'
  ENABLED = TRUE
  STORAGE_AWS_ROLE_ARN = '<% role_arn %>'
  STORAGE_ALLOWED_LOCATIONS = ('<% to %>/data/');
-- What was said otherwise this time; the external id stays.
ALTER STORAGE INTEGRATION <% database %>_BUCKET SET
  STORAGE_AWS_ROLE_ARN = '<% role_arn %>'
  STORAGE_ALLOWED_LOCATIONS = ('<% to %>/data/');
GRANT USAGE ON INTEGRATION <% database %>_BUCKET TO ROLE <% database %>_OWNER;

USE ROLE <% database %>_OWNER;
USE SCHEMA <% database %>.<% schema %>;

-- AUTO knows .zst, .gz and none by their names.
CREATE FILE FORMAT IF NOT EXISTS ndjson TYPE = JSON COMPRESSION = AUTO;

-- What is below check/ are trial puts: they are outside the stage, and nobody loads them.
CREATE STAGE IF NOT EXISTS bucket
  URL = '<% to %>/data/'
  STORAGE_INTEGRATION = <% database %>_BUCKET
  FILE_FORMAT = (FORMAT_NAME = 'ndjson');
