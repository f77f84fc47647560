"""PostgreSQL: one schema and one role per service, SQL in named blocks of `.sql` files, schemas in numbered files and functions."""
