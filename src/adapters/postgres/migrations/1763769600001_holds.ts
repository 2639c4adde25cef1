import type { MigrationBuilder } from 'node-pg-migrate'

/** Times are epoch milliseconds, as in src/domain/hold.ts. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    CREATE TABLE holds (
      hold_id text PRIMARY KEY,
      event_id text NOT NULL,
      order_id text NOT NULL,
      hospital_id text NOT NULL,
      schedule_id text NOT NULL,
      placed_at bigint NOT NULL,
      expires_at bigint NOT NULL,
      on_expiry text NOT NULL CHECK (on_expiry IN ('confirm', 'return_to_pool')),
      status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'released', 'rejected', 'expired', 'cancelled')),
      resolved_at bigint,
      resolved_by text,
      reason text,
      CHECK ((status = 'active') = (resolved_at IS NULL) AND (status = 'active') = (resolved_by IS NULL))
    );
    CREATE INDEX holds_due ON holds (expires_at) WHERE status = 'active';
    CREATE INDEX holds_schedule ON holds (hospital_id, schedule_id) WHERE status = 'active';
    CREATE INDEX holds_order ON holds (order_id) WHERE status = 'active';
    CREATE INDEX holds_newest ON holds (placed_at, hold_id);
    CREATE INDEX holds_ended ON holds (resolved_at) WHERE status <> 'active';

    CREATE TABLE hold_outbox (
      outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      hold_id text NOT NULL UNIQUE REFERENCES holds ON DELETE CASCADE,
      order_id text NOT NULL,
      body text NOT NULL
    );
    -- One row per sink that still has to get the message: what is pending is what is here.
    CREATE TABLE hold_outbox_pending (
      sink text NOT NULL CHECK (sink IN ('topic', 'callback', 'history')),
      outbox_id bigint NOT NULL REFERENCES hold_outbox ON DELETE CASCADE,
      PRIMARY KEY (sink, outbox_id)
    );
    CREATE INDEX hold_outbox_pending_message ON hold_outbox_pending (outbox_id);
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('DROP TABLE hold_outbox_pending, hold_outbox, holds')
}
