-- database: the database, its schema, two roles and a warehouse of the smallest size.
-- Role: ACCOUNTADMIN. May be run again: nothing that exists is replaced.
USE ROLE ACCOUNTADMIN;

CREATE ROLE IF NOT EXISTS <% database %>_OWNER COMMENT = 'owns and runs what lands the records';
CREATE ROLE IF NOT EXISTS <% database %>_READER COMMENT = 'reads records and proofs, writes nothing';
GRANT ROLE <% database %>_READER TO ROLE <% database %>_OWNER;
GRANT ROLE <% database %>_OWNER TO ROLE SYSADMIN;

-- Extra small: a suspended warehouse costs nothing, and 300 customers fit.
CREATE WAREHOUSE IF NOT EXISTS <% warehouse %>
  WAREHOUSE_SIZE = 'XSMALL' AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE;
GRANT USAGE, OPERATE ON WAREHOUSE <% warehouse %> TO ROLE <% database %>_OWNER;
GRANT USAGE ON WAREHOUSE <% warehouse %> TO ROLE <% database %>_READER;

-- Time Travel: so long a mistaken DELETE can be undone, and an erasure is final so many and 7 more days later.
CREATE DATABASE IF NOT EXISTS <% database %> DATA_RETENTION_TIME_IN_DAYS = <% time_travel_days %>;
GRANT OWNERSHIP ON DATABASE <% database %> TO ROLE <% database %>_OWNER COPY CURRENT GRANTS;
-- Tasks and alerts run as their owner.
GRANT EXECUTE TASK ON ACCOUNT TO ROLE <% database %>_OWNER;
GRANT EXECUTE ALERT ON ACCOUNT TO ROLE <% database %>_OWNER;

USE ROLE <% database %>_OWNER;
CREATE SCHEMA IF NOT EXISTS <% database %>.<% schema %>;
GRANT USAGE ON DATABASE <% database %> TO ROLE <% database %>_READER;
GRANT USAGE ON SCHEMA <% database %>.<% schema %> TO ROLE <% database %>_READER;

-- A future grant needs MANAGE GRANTS.
USE ROLE ACCOUNTADMIN;
GRANT SELECT ON FUTURE VIEWS IN SCHEMA <% database %>.<% schema %> TO ROLE <% database %>_READER;
GRANT SELECT ON FUTURE DYNAMIC TABLES IN SCHEMA <% database %>.<% schema %> TO ROLE <% database %>_READER;
