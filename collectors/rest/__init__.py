"""Any JSON API, by configuration: what to ask, how pages follow, and which records they hold."""
