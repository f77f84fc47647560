-- What tasks print, in the pieces in which it was reported. `start`: characters of the attempt's log before this piece.
CREATE TABLE task_logs (
    task uuid NOT NULL,
    attempt smallint NOT NULL,
    start integer NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (task, attempt, start)
);
