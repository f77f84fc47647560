-- Users and groups.

-- name: put_user
-- Roles of a user who is there already are not changed: the row that counts is returned.
INSERT INTO users AS u (name, roles, password) VALUES (:name, :roles, :password)
ON CONFLICT (name) DO UPDATE SET roles = u.roles
RETURNING roles;

-- name: users
SELECT u.*, ARRAY(SELECT m.group_name FROM memberships m WHERE m.user_name = u.name ORDER BY m.group_name) AS groups
FROM users u WHERE u.name > :after ORDER BY u.name LIMIT :size;

-- name: user
SELECT u.*, ARRAY(SELECT m.group_name FROM memberships m WHERE m.user_name = u.name ORDER BY m.group_name) AS groups
FROM users u WHERE u.name = :name;

-- name: update_user
-- NULL: stays; an empty password takes it away.
UPDATE users SET roles = coalesce(:roles::text[], roles),
    password = CASE WHEN :password::text IS NULL THEN password ELSE nullif(:password, '') END,
    disabled_at = CASE WHEN :disabled::boolean IS NULL THEN disabled_at WHEN :disabled THEN coalesce(disabled_at, now()) END
WHERE name = :name RETURNING name;

-- name: put_group
INSERT INTO groups (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING created_at;

-- name: groups
SELECT g.name, g.created_at, (SELECT count(*) FROM memberships m WHERE m.group_name = g.name) AS members
FROM groups g WHERE g.name > :after ORDER BY g.name LIMIT :size;

-- name: delete_group
DELETE FROM groups WHERE name = :name RETURNING name;

-- name: add_member
INSERT INTO memberships (group_name, user_name) VALUES (:group, :user) ON CONFLICT DO NOTHING;

-- name: remove_member
DELETE FROM memberships WHERE group_name = :group AND user_name = :user;
