-- landing: the table of raw lines, and the one pipe that fills it for all customers.
-- Role: <% database %>_OWNER. May be run again: nothing is replaced, since a new pipe has forgotten what it loaded.
USE ROLE <% database %>_OWNER;
USE SCHEMA <% database %>.<% schema %>;

-- A row per line of an object, as it came. Rows may go after 90 days (0004 takes them over); nothing is updated.
CREATE TABLE IF NOT EXISTS landing (
  record      VARIANT,
  file        VARCHAR,       -- the object's whole key
  file_row    NUMBER(38, 0), -- the line's place in it
  content_key VARCHAR,       -- the checksum of the object
  file_time   TIMESTAMP_NTZ, -- when S3 stored it, in UTC
  scanned_at  TIMESTAMP_LTZ  -- when it was loaded; CURRENT_TIMESTAMP in a pipe may be hours early
);

-- A file lands whole or not at all: one bad line in it, and load_problems names the file.
CREATE PIPE IF NOT EXISTS landing_pipe AUTO_INGEST = TRUE AS
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
ON_ERROR = SKIP_FILE;
