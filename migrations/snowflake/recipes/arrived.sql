-- arrived: has everything arrived that this agent has sent? One row: yes, or how far it has come.
-- Role: <% database %>_READER.
USE ROLE <% database %>_READER;
USE WAREHOUSE <% warehouse %>;

-- Every identity that this place has had, a renewed agent's predecessors too.
SELECT agent_id, state, first_sequence, complete_to, known_to, missing, lost, last_landed_at
FROM <% database %>.<% schema %>.completeness
WHERE customer = '<% customer %>' AND site = '<% site %>'
ORDER BY first_sequence, agent_id;

-- This agent. What was sent in the last half hour may still be on its way.
SELECT
  COALESCE(c.complete_to, a.first_sequence - 1) >= a.sent_to AS has_arrived,
  a.sent_to,
  c.complete_to,
  c.state,
  c.missing,
  c.lost,
  c.last_landed_at
FROM (
  SELECT
    '<% customer %>' AS customer, '<% site %>' AS site, '<% agent_id %>' AS agent_id,
    TO_NUMBER(SPLIT_PART('<% agent_id %>', '-', 2)) AS first_sequence,
    <% last_sequence %> AS sent_to
) AS a
LEFT JOIN <% database %>.<% schema %>.completeness AS c
  ON c.customer = a.customer AND c.site = a.site AND c.agent_id = a.agent_id;
