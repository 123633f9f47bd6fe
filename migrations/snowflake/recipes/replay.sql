-- replay: bring over again every line that is still in `landing` (90 days), after the task or its stream failed.
-- Role: <% database %>_OWNER. What was erased does not come back: its raw lines are gone.
USE ROLE <% database %>_OWNER;
USE SCHEMA <% database %>.<% schema %>;
USE WAREHOUSE <% warehouse %>;

ALTER TASK take_lines SUSPEND;

DELETE FROM lines USING landing WHERE lines.file = landing.file AND lines.file_row = landing.file_row;

-- A new stream that begins with every line that is there.
CREATE OR REPLACE STREAM landed ON TABLE landing APPEND_ONLY = TRUE SHOW_INITIAL_ROWS = TRUE;

ALTER TASK take_lines RESUME;
EXECUTE TASK take_lines;

-- The task and the dynamic tables run beside this: ask again after twice the lag.
SELECT state, COUNT(*) AS agents, SUM(missing) AS missing FROM completeness GROUP BY state;
