import type { MigrationBuilder } from 'node-pg-migrate'

export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    CREATE TABLE api_keys (
      key_id text PRIMARY KEY,
      secret_hash text NOT NULL UNIQUE,
      role text NOT NULL,
      hospital_id text,
      cidr text,
      created_at bigint NOT NULL,
      revoked_at bigint
    );
    CREATE TABLE policies (
      hospital_id text PRIMARY KEY,
      patch jsonb NOT NULL,
      changed_by text NOT NULL,
      changed_at bigint NOT NULL,
      revision integer NOT NULL CHECK (revision > 0)
    );
    CREATE TABLE audit_log (
      audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      at bigint NOT NULL,
      by text NOT NULL,
      action text NOT NULL,
      subject text NOT NULL,
      detail jsonb NOT NULL
    );
    CREATE INDEX audit_log_subject ON audit_log (subject, at);
    CREATE INDEX audit_log_at ON audit_log (at);
    CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
    CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log EXECUTE FUNCTION audit_log_is_append_only();
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('DROP TABLE audit_log, policies, api_keys; DROP FUNCTION audit_log_is_append_only')
}
