-- digest: does an object hold the lines that were sealed? Its name says their SHA-256. Objects up to 16 MB.
-- Role: <% database %>_OWNER.
USE ROLE <% database %>_OWNER;
USE SCHEMA <% database %>.<% schema %>;
USE WAREHOUSE <% warehouse %>;

CREATE FILE FORMAT IF NOT EXISTS whole_lines
  TYPE = CSV COMPRESSION = AUTO FIELD_DELIMITER = NONE RECORD_DELIMITER = '\n'
  ESCAPE = NONE ESCAPE_UNENCLOSED_FIELD = NONE FIELD_OPTIONALLY_ENCLOSED_BY = NONE
  NULL_IF = () EMPTY_FIELD_AS_NULL = FALSE;

SELECT
  LEFT(SHA2(LISTAGG(line || '\n') WITHIN GROUP (ORDER BY place), 256), 16)
    = SPLIT_PART(SPLIT_PART(MAX(name), '-', -1), '.', 1) AS is_as_sealed,
  COUNT(*) AS lines
FROM (
  SELECT $1 AS line, METADATA$FILE_ROW_NUMBER AS place, METADATA$FILENAME AS name
  FROM '@bucket/<% file %>' (FILE_FORMAT => 'whole_lines')
) AS read;
