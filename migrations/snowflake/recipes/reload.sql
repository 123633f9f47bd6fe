-- reload: the object of one agent that begins at a sequence, as `gaps` names it: is it there, and once more.
-- Role: <% database %>_OWNER.
USE ROLE <% database %>_OWNER;
USE SCHEMA <% database %>.<% schema %>;
USE WAREHOUSE <% warehouse %>;

-- Nothing listed: it is not in the bucket. On the agent: outbox audit --store
LIST '@bucket/customer=<% customer %>/site=<% site %>/agent=<% agent_id %>/' PATTERN = '.*/0*<% first_sequence %>-.*';

-- FORCE: also what was loaded before, and what Snowflake remembers for 64 days as failed. Where an object was put
-- again with other lines, those of before stay in `lines`, and `forks` names them: delete them by their content_key.
COPY INTO landing (record, file, file_row, content_key, file_time, scanned_at)
FROM (
  SELECT
    $1,
    METADATA$FILENAME,
    METADATA$FILE_ROW_NUMBER,
    METADATA$FILE_CONTENT_KEY,
    METADATA$FILE_LAST_MODIFIED,
    METADATA$START_SCAN_TIME
  FROM '@bucket/customer=<% customer %>/site=<% site %>/agent=<% agent_id %>/'
)
FILE_FORMAT = (FORMAT_NAME = 'ndjson')
PATTERN = '.*/0*<% first_sequence %>-.*'
ON_ERROR = SKIP_FILE
FORCE = TRUE;

SELECT complete_to, gaps, missing, short_files, loaded_twice
FROM completeness
WHERE customer = '<% customer %>' AND site = '<% site %>' AND agent_id = '<% agent_id %>';
