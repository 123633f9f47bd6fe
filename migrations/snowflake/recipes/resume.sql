-- resume: the pipe after a pause. Up to 14 days it goes on by itself; after that, what came meanwhile is copied.
-- Role: <% database %>_OWNER.
USE ROLE <% database %>_OWNER;
USE SCHEMA <% database %>.<% schema %>;
USE WAREHOUSE <% warehouse %>;

-- executionState, pendingFileCount, lastReceivedMessageTimestamp
SELECT SYSTEM$PIPE_STATUS('landing_pipe') AS pipe_status;

-- After more than 14 days events are gone, and the pipe must be forced; after less, this does no harm.
SELECT SYSTEM$PIPE_FORCE_RESUME('landing_pipe', 'staleness_check_override, ownership_transfer_check_override');

-- What was put in the last 7 days and is not loaded yet; the pipe knows what it has loaded.
ALTER PIPE landing_pipe REFRESH;

-- What is older: day by day of the pause. Files that the pipe has loaded come a second time; `completeness` then
-- shows them as loaded twice, and each record still counts once.
COPY INTO landing (record, file, file_row, content_key, file_time, scanned_at)
FROM (
  SELECT
    $1,
    METADATA$FILENAME,
    METADATA$FILE_ROW_NUMBER,
    METADATA$FILE_CONTENT_KEY,
    METADATA$FILE_LAST_MODIFIED,
    METADATA$START_SCAN_TIME
  FROM @bucket
)
FILE_FORMAT = (FORMAT_NAME = 'ndjson')
PATTERN = '.*/date=<% day %>/.*'
ON_ERROR = SKIP_FILE;

SELECT customer, site, agent_id, complete_to, gaps, missing, loaded_twice FROM completeness WHERE gaps > 0;
