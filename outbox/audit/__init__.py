"""The promises verified, row by row: in one database, in what a store holds, or between both."""
