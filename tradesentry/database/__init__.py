"""Where facts are kept: one PostgreSQL, embedded or a real server, with its tables, its rules and its repositories."""
