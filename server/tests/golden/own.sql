-- The rows of webui.sql in the tables that roomcast makes.
INSERT INTO "user" (id, name, email, role, settings, last_active_at)
VALUES
    ('alice', 'Alice', 'alice@example.com', 'admin', '{"ui": {"version": "0.6.41"}}', 1),
    ('bob', 'Bob', 'bob@example.com', 'user', 'null', 1),
    ('carol', 'Carol', 'carol@example.com', 'user', NULL, 1),
    ('pat', 'Pat', 'pat@example.com', 'pending', NULL, 1);
INSERT INTO "group" (id, permissions) VALUES ('crew', '{"features": {"notes": true}}');
INSERT INTO group_member (group_id, user_id) VALUES ('crew', 'bob');
INSERT INTO channel (id, user_id, name, access_control, type)
VALUES
    ('town', 'alice', 'town', 'null', NULL),
    ('deck', 'alice', 'deck', '{"read": {"group_ids": ["crew"], "user_ids": []}}', ''),
    ('pair', 'alice', 'pair', NULL, 'dm'),
    ('team', 'alice', 'team', NULL, 'group');
INSERT INTO channel_member (channel_id, user_id, is_active, last_read_at, updated_at)
VALUES ('pair', 'alice', TRUE, 1, 1), ('pair', 'bob', TRUE, 1, 1), ('team', 'alice', TRUE, 1, 1);
INSERT INTO note (id, user_id, title, data, access_control, updated_at)
VALUES
    ('board', 'alice', 'Board', '{"content": {"json": null, "html": "", "md": ""}}', 'null', 1),
    ('minutes', 'alice', 'Minutes', NULL, '{"read": {"user_ids": ["bob"], "group_ids": []}, "write": {}}', 1),
    ('diary', 'alice', 'Diary', NULL, '{}', 1);
INSERT INTO chat (id, user_id, title, chat, updated_at)
VALUES ('talk', 'alice', 'Talk',
    '{"title": "Talk", "history": {"messages": {"m1": {"id": "m1", "role": "assistant", "content": "Hello"}}, "currentId": "m1"}}', 1);
