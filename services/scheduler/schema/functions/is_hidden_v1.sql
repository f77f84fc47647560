-- Whether a task, whose submission has a parent, is not there yet for users: the parent has not completed. What users name is looked
-- up with this in every query, so that it is answered exactly as an id that nobody has.
CREATE OR REPLACE FUNCTION is_hidden_v1(_task uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM submissions s WHERE s.id = submission_of_v1(_task)
                   AND s.status = {submission.open} AND s.parent IS NOT NULL)
$$;
