-- Sessions that close when their tasks have ended (see closing.py).
ALTER TABLE sessions
    ADD COLUMN close_when_done boolean NOT NULL DEFAULT false,
    ADD COLUMN closed_itself boolean NOT NULL DEFAULT false; -- nothing was taken back: to run a task of it again opens it
CREATE INDEX sessions_closing ON sessions (id) WHERE close_when_done AND status = 1;
