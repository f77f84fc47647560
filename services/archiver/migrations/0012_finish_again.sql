-- `upload finish` came while the chain of an earlier one was under way: if that fails, it has looked too early, and runs again.
ALTER TABLE datasets ADD COLUMN finish_again boolean NOT NULL DEFAULT false;
