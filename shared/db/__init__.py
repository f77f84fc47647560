"""PostgreSQL: one schema and one role per service, SQL in named blocks of `.sql` files, plain numbered migrations."""
