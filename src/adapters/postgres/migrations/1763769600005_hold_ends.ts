import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * Ends of orders and of whole schedules, for holds that are recorded after them: a request that was decided before its order died may
 * be recorded after it, by another process. Kept for as long as a record may be on its way.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    CREATE TABLE hold_ends (
      name text NOT NULL,
      at bigint NOT NULL,
      order_id text,
      hospital_id text,
      schedule_id text,
      reason text NOT NULL,
      PRIMARY KEY (name, at)
    );
    CREATE INDEX hold_ends_at ON hold_ends (at);
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('DROP TABLE hold_ends')
}
