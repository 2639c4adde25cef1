import type { MigrationBuilder } from 'node-pg-migrate'

/** What is known for sure of the shared counters (src/ports/counter-standing.ts). */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    -- Names what these stores belong to: keys of another installation in the same Redis are never mistaken for ours.
    CREATE TABLE installation (one boolean PRIMARY KEY DEFAULT true CHECK (one), id text NOT NULL DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 12), token_key text);
    INSERT INTO installation DEFAULT VALUES;
    CREATE TABLE counter_standing (
      layout text PRIMARY KEY,
      generation text NOT NULL,
      ready boolean NOT NULL,
      runs text NOT NULL,
      watermark bigint NOT NULL,
      missing_from bigint
    );

    -- Each record names the generation its event was counted in, or none. Whoever records has locked journal_head, and so has
    -- whoever changes a standing: a record is compared with the generation of its moment, whichever layout that is of.
    CREATE FUNCTION counter_note_missing() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      UPDATE counter_standing s SET missing_from = m.seq
      FROM (SELECT c.layout, (SELECT min(f.seq) FROM fresh f WHERE strpos(f.lines, '"countedIn":"' || c.generation || '"') = 0) AS seq
            FROM counter_standing c WHERE c.missing_from IS NULL) m
      WHERE s.layout = m.layout AND m.seq IS NOT NULL;
      RETURN NULL;
    END $$;
    CREATE TRIGGER counter_note_missing AFTER INSERT ON journal REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION counter_note_missing();
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('DROP TRIGGER counter_note_missing ON journal; DROP FUNCTION counter_note_missing; DROP TABLE counter_standing, installation')
}
