-- Tables of Open WebUI 0.12.4 (revision 0bd252b206fb) as its own migrations leave them in SQLite, as far as a real-time
-- layer could read them. This version of roomcast does not serve them.
CREATE TABLE "user" (
    id VARCHAR NOT NULL PRIMARY KEY, name VARCHAR, email VARCHAR, role VARCHAR, profile_image_url TEXT, last_active_at
    BIGINT, updated_at BIGINT, created_at BIGINT, username VARCHAR(50), bio TEXT, gender TEXT, date_of_birth DATE,
    profile_banner_image_url TEXT, timezone VARCHAR, presence_state VARCHAR, status_emoji VARCHAR, status_message
    TEXT, status_expires_at BIGINT, oauth JSON, info JSON, settings JSON, scim JSON, variables JSON
);
CREATE TABLE auth (
    id VARCHAR NOT NULL PRIMARY KEY, email VARCHAR, password TEXT, active BOOLEAN, mfa JSON, session_stamp TEXT
);
CREATE TABLE channel (
    id TEXT NOT NULL PRIMARY KEY, user_id TEXT, name TEXT, description TEXT, data JSON, meta JSON, created_at BIGINT,
    updated_at BIGINT, type TEXT, is_private BOOLEAN, archived_at BIGINT, archived_by TEXT, deleted_at BIGINT,
    deleted_by TEXT, updated_by TEXT
);
CREATE TABLE channel_member (
    id TEXT NOT NULL PRIMARY KEY, channel_id TEXT NOT NULL, user_id TEXT, created_at BIGINT, status TEXT, is_active
    BOOLEAN NOT NULL DEFAULT 1, is_channel_muted BOOLEAN NOT NULL DEFAULT 0, is_channel_pinned BOOLEAN NOT NULL
    DEFAULT 0, data JSON, meta JSON, joined_at BIGINT NOT NULL, left_at BIGINT, last_read_at BIGINT, updated_at
    BIGINT, role TEXT, invited_by TEXT, invited_at BIGINT, app_id TEXT
);
CREATE TABLE note (
    id TEXT NOT NULL PRIMARY KEY, user_id TEXT, title TEXT, data JSON, meta JSON, created_at BIGINT, updated_at BIGINT
);
CREATE TABLE chat (
    id VARCHAR NOT NULL PRIMARY KEY, user_id VARCHAR, title TEXT, created_at BIGINT, updated_at BIGINT, share_id TEXT,
    archived BOOLEAN, chat JSON, pinned BOOLEAN, meta JSON NOT NULL DEFAULT '{}', folder_id TEXT, tasks JSON, summary
    TEXT, last_read_at BIGINT, current_message_id TEXT, variables JSON, timer_at BIGINT
);
CREATE TABLE shared_chat (
    id TEXT NOT NULL PRIMARY KEY, chat_id TEXT NOT NULL, user_id TEXT NOT NULL, title TEXT, chat JSON, created_at
    BIGINT, updated_at BIGINT
);
CREATE TABLE folder (
    id TEXT NOT NULL, parent_id TEXT, user_id TEXT NOT NULL, name TEXT NOT NULL, items JSON, meta JSON, is_expanded
    BOOLEAN NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, data JSON, PRIMARY KEY (id, user_id)
);
CREATE TABLE "group" (
    id TEXT NOT NULL PRIMARY KEY, user_id TEXT, name TEXT, description TEXT, data JSON, meta JSON, permissions JSON,
    created_at BIGINT, updated_at BIGINT, parent_group_id TEXT
);
CREATE TABLE group_member (
    id TEXT NOT NULL PRIMARY KEY, group_id TEXT NOT NULL, user_id TEXT NOT NULL, created_at BIGINT, updated_at BIGINT
);
CREATE TABLE access_grant (
    id TEXT NOT NULL PRIMARY KEY, resource_type TEXT NOT NULL, resource_id TEXT NOT NULL, principal_type TEXT NOT
    NULL, principal_id TEXT NOT NULL, permission TEXT NOT NULL, created_at BIGINT NOT NULL
);
CREATE TABLE config (
    "key" TEXT NOT NULL PRIMARY KEY, value JSON NOT NULL, updated_at BIGINT
);
CREATE TABLE config_old (
    id INTEGER NOT NULL PRIMARY KEY, data JSON NOT NULL, version INTEGER NOT NULL, created_at DATETIME NOT NULL
    DEFAULT CURRENT_TIMESTAMP, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
