-- Tables of Open WebUI 0.12.4 (revision 0bd252b206fb), as far as a real-time layer could read or write them: columns, types
-- and keys as its own migrations leave them in SQLite and PostgreSQL, in words that both understand, without indexes.
CREATE TABLE "user" (
    id VARCHAR NOT NULL, name VARCHAR, email VARCHAR, role VARCHAR, profile_image_url TEXT, last_active_at BIGINT,
    updated_at BIGINT, created_at BIGINT, username VARCHAR(50), bio TEXT, gender TEXT, date_of_birth DATE,
    profile_banner_image_url TEXT, timezone VARCHAR, presence_state VARCHAR, status_emoji VARCHAR, status_message
    TEXT, status_expires_at BIGINT, oauth JSON, info JSON, settings JSON, scim JSON, variables JSON, PRIMARY KEY
    (id)
);
CREATE TABLE auth (
    id VARCHAR NOT NULL, email VARCHAR, password TEXT, active BOOLEAN, mfa JSON, session_stamp TEXT, PRIMARY KEY
    (id)
);
CREATE TABLE config (
    "key" TEXT NOT NULL, value JSON NOT NULL, updated_at BIGINT, PRIMARY KEY ("key")
);
CREATE TABLE "group" (
    id TEXT NOT NULL, user_id TEXT, name TEXT, description TEXT, data JSON, meta JSON, permissions JSON, created_at
    BIGINT, updated_at BIGINT, parent_group_id TEXT, PRIMARY KEY (id)
);
CREATE TABLE group_member (
    id TEXT NOT NULL, group_id TEXT NOT NULL, user_id TEXT NOT NULL, created_at BIGINT, updated_at BIGINT, PRIMARY
    KEY (id), UNIQUE (group_id, user_id)
);
CREATE TABLE access_grant (
    id TEXT NOT NULL, resource_type TEXT NOT NULL, resource_id TEXT NOT NULL, principal_type TEXT NOT NULL,
    principal_id TEXT NOT NULL, permission TEXT NOT NULL, created_at BIGINT NOT NULL, PRIMARY KEY (id), UNIQUE
    (resource_type, resource_id, principal_type, principal_id, permission)
);
CREATE TABLE note (
    id TEXT NOT NULL, user_id TEXT, title TEXT, data JSON, meta JSON, created_at BIGINT, updated_at BIGINT, PRIMARY
    KEY (id)
);
CREATE TABLE channel (
    id TEXT NOT NULL, user_id TEXT, name TEXT, description TEXT, data JSON, meta JSON, created_at BIGINT,
    updated_at BIGINT, type TEXT, is_private BOOLEAN, archived_at BIGINT, archived_by TEXT, deleted_at BIGINT,
    deleted_by TEXT, updated_by TEXT, PRIMARY KEY (id)
);
CREATE TABLE channel_member (
    id TEXT NOT NULL, channel_id TEXT NOT NULL, user_id TEXT, created_at BIGINT, status TEXT, is_active BOOLEAN
    DEFAULT TRUE NOT NULL, is_channel_muted BOOLEAN DEFAULT FALSE NOT NULL, is_channel_pinned BOOLEAN DEFAULT FALSE
    NOT NULL, data JSON, meta JSON, joined_at BIGINT NOT NULL, left_at BIGINT, last_read_at BIGINT, updated_at
    BIGINT, role TEXT, invited_by TEXT, invited_at BIGINT, app_id TEXT, PRIMARY KEY (id), UNIQUE (channel_id,
    app_id)
);
CREATE TABLE chat (
    id VARCHAR NOT NULL, user_id VARCHAR, title TEXT, created_at BIGINT, updated_at BIGINT, share_id TEXT, archived
    BOOLEAN, chat JSON, pinned BOOLEAN, meta JSON DEFAULT '{}' NOT NULL, folder_id TEXT, tasks JSON, summary TEXT,
    last_read_at BIGINT, current_message_id TEXT, variables JSON, timer_at BIGINT, PRIMARY KEY (id)
);
CREATE TABLE shared_chat (
    id TEXT NOT NULL, chat_id TEXT NOT NULL, user_id TEXT NOT NULL, title TEXT, chat JSON, created_at BIGINT,
    updated_at BIGINT, PRIMARY KEY (id)
);
CREATE TABLE folder (
    id TEXT NOT NULL, parent_id TEXT, user_id TEXT NOT NULL, name TEXT NOT NULL, items JSON, meta JSON, is_expanded
    BOOLEAN NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, data JSON, PRIMARY KEY (id, user_id)
);
CREATE TABLE chat_message (
    id TEXT NOT NULL, chat_id TEXT NOT NULL, user_id TEXT, role TEXT NOT NULL, parent_id TEXT, content JSON, output
    JSON, model_id TEXT, files JSON, sources JSON, embeds JSON, done BOOLEAN, status_history JSON, error JSON,
    usage JSON, created_at BIGINT, updated_at BIGINT, context_summary TEXT, meta JSON, PRIMARY KEY (id)
);
CREATE TABLE file (
    id VARCHAR NOT NULL, user_id VARCHAR, filename TEXT, meta JSON, created_at BIGINT, hash TEXT, data JSON,
    updated_at BIGINT, path TEXT, PRIMARY KEY (id)
);
CREATE TABLE channel_file (
    id TEXT NOT NULL, user_id TEXT NOT NULL, channel_id TEXT NOT NULL, file_id TEXT NOT NULL, created_at BIGINT NOT
    NULL, updated_at BIGINT NOT NULL, message_id TEXT, PRIMARY KEY (id), UNIQUE (channel_id, file_id)
);
CREATE TABLE chat_file (
    id TEXT NOT NULL, user_id TEXT NOT NULL, chat_id TEXT NOT NULL, file_id TEXT NOT NULL, message_id TEXT,
    created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (id), UNIQUE (chat_id, file_id)
);
CREATE TABLE knowledge (
    id TEXT NOT NULL, user_id TEXT NOT NULL, name TEXT NOT NULL, description TEXT, meta JSON, created_at BIGINT NOT
    NULL, updated_at BIGINT, data JSON, PRIMARY KEY (id)
);
CREATE TABLE knowledge_file (
    id TEXT NOT NULL, user_id TEXT NOT NULL, knowledge_id TEXT NOT NULL, file_id TEXT NOT NULL, created_at BIGINT
    NOT NULL, updated_at BIGINT NOT NULL, directory_id TEXT, PRIMARY KEY (id), UNIQUE (knowledge_id, file_id)
);
CREATE TABLE model (
    id TEXT NOT NULL, user_id TEXT, base_model_id TEXT, name TEXT, params TEXT, meta TEXT, updated_at BIGINT,
    created_at BIGINT, is_active BOOLEAN DEFAULT TRUE NOT NULL, version_id TEXT, PRIMARY KEY (id)
);
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, PRIMARY KEY (version_num)
);
