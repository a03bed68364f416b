-- Tables of Open WebUI 0.6.41 as its own migrations leave them, and rows. For SQLite and PostgreSQL.
CREATE TABLE "user" (
    id VARCHAR(255) NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL, email VARCHAR(255) NOT NULL,
    role VARCHAR(255) NOT NULL, profile_image_url TEXT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
    last_active_at BIGINT NOT NULL, username VARCHAR(50), bio TEXT, gender TEXT, date_of_birth DATE,
    profile_banner_image_url TEXT, timezone VARCHAR, presence_state VARCHAR, status_emoji VARCHAR, status_message TEXT,
    status_expires_at BIGINT, oauth JSON, info JSON, settings JSON
);
CREATE TABLE channel (
    id TEXT NOT NULL PRIMARY KEY, user_id TEXT, name TEXT, description TEXT, data JSON, meta JSON, access_control JSON,
    created_at BIGINT, updated_at BIGINT, type TEXT, is_private BOOLEAN, archived_at BIGINT, archived_by TEXT,
    deleted_at BIGINT, deleted_by TEXT, updated_by TEXT
);
CREATE TABLE channel_member (
    id TEXT NOT NULL PRIMARY KEY, channel_id TEXT NOT NULL, user_id TEXT NOT NULL, created_at BIGINT, status TEXT,
    is_active BOOLEAN DEFAULT TRUE NOT NULL, is_channel_muted BOOLEAN DEFAULT FALSE NOT NULL,
    is_channel_pinned BOOLEAN DEFAULT FALSE NOT NULL, data JSON, meta JSON, joined_at BIGINT NOT NULL, left_at BIGINT,
    last_read_at BIGINT, updated_at BIGINT, role TEXT, invited_by TEXT, invited_at BIGINT
);
CREATE TABLE note (
    id TEXT NOT NULL PRIMARY KEY, user_id TEXT, title TEXT, data JSON, meta JSON, access_control JSON, created_at BIGINT,
    updated_at BIGINT
);
CREATE TABLE chat (
    id VARCHAR(255) NOT NULL PRIMARY KEY, user_id VARCHAR(255) NOT NULL, title TEXT NOT NULL, share_id VARCHAR(255),
    archived INTEGER NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, chat JSON, pinned BOOLEAN,
    meta JSON DEFAULT '{}' NOT NULL, folder_id TEXT
);
CREATE TABLE "group" (
    id TEXT NOT NULL PRIMARY KEY, user_id TEXT, name TEXT, description TEXT, data JSON, meta JSON, permissions JSON,
    created_at BIGINT, updated_at BIGINT
);
CREATE TABLE group_member (
    id TEXT NOT NULL PRIMARY KEY, group_id TEXT NOT NULL, user_id TEXT NOT NULL, created_at BIGINT, updated_at BIGINT,
    UNIQUE (group_id, user_id)
);
CREATE TABLE config (
    id INTEGER NOT NULL PRIMARY KEY, data JSON NOT NULL, version INTEGER NOT NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

INSERT INTO "user" (id, name, email, role, profile_image_url, created_at, updated_at, last_active_at, info, settings)
VALUES
    ('alice', 'Alice', 'alice@example.com', 'admin', '/user.png', 1, 1, 1, 'null', '{"ui": {"version": "0.6.41"}}'),
    ('bob', 'Bob', 'bob@example.com', 'user', '/user.png', 1, 1, 1, 'null', 'null'),
    ('carol', 'Carol', 'carol@example.com', 'user', '/user.png', 1, 1, 1, NULL, NULL),
    ('pat', 'Pat', 'pat@example.com', 'pending', '/user.png', 1, 1, 1, NULL, NULL);
INSERT INTO "group" (id, user_id, name, permissions, created_at, updated_at)
VALUES ('crew', 'alice', 'Crew', '{"features": {"notes": true}}', 1, 1);
INSERT INTO group_member (id, group_id, user_id, created_at, updated_at) VALUES ('crew-bob', 'crew', 'bob', 1, 1);
INSERT INTO channel (id, user_id, name, access_control, created_at, updated_at, type)
VALUES
    ('town', 'alice', 'town', 'null', 1, 1, NULL),
    ('deck', 'alice', 'deck', '{"read": {"group_ids": ["crew"], "user_ids": []}}', 1, 1, ''),
    ('pair', 'alice', 'pair', NULL, 1, 1, 'dm'),
    ('team', 'alice', 'team', NULL, 1, 1, 'group');
INSERT INTO channel_member (id, channel_id, user_id, joined_at, last_read_at, updated_at)
VALUES
    ('1', 'pair', 'alice', 1, 1, 1),
    ('2', 'pair', 'bob', 1, 1, 1),
    ('3', 'team', 'alice', 1, 1, 1);
INSERT INTO note (id, user_id, title, data, access_control, created_at, updated_at)
VALUES
    ('board', 'alice', 'Board', '{"content": {"json": null, "html": "", "md": ""}}', 'null', 1, 1),
    ('minutes', 'alice', 'Minutes', NULL, '{"read": {"user_ids": ["bob"], "group_ids": []}, "write": {}}', 1, 1),
    ('diary', 'alice', 'Diary', NULL, '{}', 1, 1);
INSERT INTO chat (id, user_id, title, archived, created_at, updated_at, chat)
VALUES ('talk', 'alice', 'Talk', 0, 1, 1,
    '{"title": "Talk", "history": {"messages": {"m1": {"id": "m1", "role": "assistant", "content": "Hello"}}, "currentId": "m1"}}');
